"""The words that may pass ingest. A coded value can hold a name as well as free text can: what is not here is OTHER."""

import re

OTHER = "OTHER"
"""In place of a word that is not in its table."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Defined terms of (0008,0060), PS3.3 section C.7.3.1.1.1, those of images and the retired ones still in archives.
MODALITIES = _words("""
    AR BI BMD CD CF CR CT CTPROTOCOL DD DF DG DM DS DX EC ECG EPS ES FA FS GM HC HD IO IVOCT IVUS KER LEN LP LS
    MA MG MR MS NM OAM OCT OP OPM OPT OPTBSV OPTENF OPV OSS OT PA POS PT PX RF RG RTIMAGE SC SM SMR SRF ST TG US
    VA VF XA XC
""")

# Defined terms of (0018,0015), PS3.16 annex L, and what devices write for them.
BODY_PARTS = _words("""
    ABDOMEN ABDOMENPELVIS ANKLE ANUS AORTA ARM AXILLA BACK BLADDER BODY BONE BRAIN BREAST BRONCHUS BUTTOCK
    CALCANEUS CALF CAROTID CEREBELLUM CERVIX CHEEK CHEST CHESTABDOMEN CHESTABDPELVIS CHEST_PA CHEST_AP CHEST_LAT
    CLAVICLE COCCYX COLON CSPINE CTSPINE DUODENUM EAR ELBOW ESOPHAGUS EXTREMITY EYE EYELID FACE FEMUR FINGER
    FOOT FOREARM GALLBLADDER HAND HEAD HEADNECK HEART HIP HUMERUS ILEUM ILIUM JAW JEJUNUM KIDNEY KNEE LARYNX LEG
    LIVER LSPINE LSSPINE LUNG MANDIBLE MAXILLA MEDIASTINUM MOUTH NECK NECKCHEST NOSE ORBIT OVARY PANCREAS
    PAROTID PATELLA PELVIS PENIS PHARYNX PROSTATE RADIUS RECTUM RIB RIBS SACRUM SCALP SCAPULA SCLERA SCROTUM
    SHOULDER SIJOINT SINUS SKULL SPINE SPLEEN SSPINE STERNUM STOMACH TESTIS THIGH THORAX THUMB THYMUS THYROID
    TIBIA TIBIAFIBULA TLSPINE TMJ TOE TONGUE TRACHEA TSPINE ULNA URETER URETHRA UTERUS VAGINA VULVA WHOLEBODY
    WRIST ZYGOMA
""")

# (0018,5101): PS3.3 section C.8.1.2 and C.8.11.5 (radiographs), C.8.11.7 (mammograms).
VIEWS = _words("""
    AP PA LL RL LLD RLD LLO RLO LAT LATERAL LAO RAO LPO RPO OBL OBLIQUE FRONTAL ANTEPOST POSTANT AXIAL TAN
    TANGENTIAL LORDOTIC SWIMMERS ERECT SUPINE PRONE DECUB CC ML MLO LM LMO XCC XCCL XCCM CV FB SIO SPEC IS SI
    ISO ML_SPOT MLO_SPOT CC_SPOT
""")

PHOTOMETRIC = frozenset(
    [
        "MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420",
        "YBR_PARTIAL_422", "YBR_ICT", "YBR_RCT", "XYB", "HSV", "ARGB", "CMYK",
    ]
)  # fmt: skip

LATERALITIES = frozenset("LRBU")
SEXES = frozenset("FMO")

# (0008,0070) is free text: the first word, or words, of the names that makers write in it.
MANUFACTURERS = {
    "ACCURAY": "Accuray", "AGFA": "Agfa", "ALOKA": "Aloka", "ANALOGIC": "Analogic", "BRUKER": "Bruker",
    "CANON": "Canon", "CARESTREAM": "Carestream", "CURVEBEAM": "CurveBeam", "DEL MEDICAL": "Del Medical",
    "DR TECH": "DRTECH", "DRTECH": "DRTECH", "EASTMAN KODAK": "Kodak", "EIZO": "Eizo", "ELEKTA": "Elekta",
    "ELSCINT": "Elscint", "ESAOTE": "Esaote", "FUJI": "Fujifilm", "FUJIFILM": "Fujifilm", "FUJI PHOTO FILM": "Fujifilm",
    "GE": "GE", "GE HEALTHCARE": "GE", "GE MEDICAL SYSTEMS": "GE", "GEMS": "GE", "GENERAL ELECTRIC": "GE",
    "GIOTTO": "IMS Giotto", "HITACHI": "Hitachi", "HOLOGIC": "Hologic", "IMAGING DYNAMICS": "Imaging Dynamics",
    "IMS": "IMS Giotto", "KODAK": "Kodak", "KONICA": "Konica Minolta", "LODOX": "Lodox", "LORAD": "Hologic",
    "LUMISYS": "Lumisys", "MARCONI": "Philips", "MEDISON": "Samsung", "METALTRONICA": "Metaltronica",
    "MINDRAY": "Mindray", "NEUSOFT": "Neusoft", "OLDELFT": "Oldelft", "PHILIPS": "Philips", "PICKER": "Philips",
    "PLANMECA": "Planmeca", "PLANMED": "Planmed", "RAYENCE": "Rayence", "SAMSUNG": "Samsung", "SECTRA": "Sectra",
    "SHIMADZU": "Shimadzu", "SIEMENS": "Siemens", "SONOSITE": "SonoSite", "STERLING": "Sterling",
    "SUPERSONIC": "SuperSonic", "SWISSRAY": "Swissray", "TOSHIBA": "Canon", "TRIXELL": "Trixell",
    "UIH": "United Imaging", "UNITED IMAGING": "United Imaging", "VAREX": "Varex", "VARIAN": "Varian", "VIDAR": "Vidar",
    "VIEWORKS": "Vieworks", "ZIEHM": "Ziehm",
}  # fmt: skip


_WORD = re.compile(r"[A-Z0-9]+")


def coded(text: str, allowed: frozenset[str], other: str | None = OTHER) -> str | None:
    """A coded string as in its table (PS3.5 section 6.2: upper case, spaces do not count), ``other``, None if empty."""
    word = text.strip(" \0").upper()
    if not word:
        return None
    return word if word in allowed else other


def manufacturer(text: str) -> str | None:
    """The maker's usual name, ``other`` for one that is not known, None where there is none."""
    words = _WORD.findall(text.upper())
    if not words:
        return None
    names = (MANUFACTURERS.get(" ".join(words[:count])) for count in (3, 2, 1))
    return next((name for name in names if name), OTHER.lower())
