"""Which words are medical: a list of common ones, and the Greek and Latin parts of the others.

Written for this program; no dictionary is copied. Most terms of medicine are compounds of a few
hundred parts, so that the parts cover what no short list could.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from biomedgpt.data.cleaning.ngrams import split_words
from biomedgpt.data.raw.tables import read_lines
from biomedgpt.errors import DataError

_LIST = """
abdomen abdominal abnormality abscess acute adrenal airway allergy anatomy anemia anterior
aorta aortic appendix artery arterial atrium axial benign bile biopsy bladder blood bone bowel
brain breast calcification calcified cancer catheter cavity cell cells cellular cervical
cervix chest chronic clinical clot colon colonic congenital contrast cord cornea coronal
coronary cortex cortical cranial ct cyst cystic cxr diagnosis diagnostic diaphragm disease
disorder distal dose drug duct duodenum ecg edema effusion embolism endoscopic enhancement
enlarged enlargement enzyme epidural fetal fetus femur fever fibrosis fissure fluid fracture
gallbladder ganglion gland glandular heart hemorrhage haemorrhage hernia hilar hilum histology
hormone hydrocephalus ileum immune infarct infection inflammation inflammatory injury
intestine intestinal intravenous invasive iris ischemia jaw joint kidney kidneys lateral
lesion lesions ligament liver lobe lobar lumbar lung lungs lymph malignancy malignant
mammogram mass medial mediastinal mediastinum medication metastasis metastatic microscopic
mitral mri mucosa mucosal muscle necrosis neck nerve neural nodule nodules nodular normal
nucleus occlusion opacity opacities optic oral organ ovary ovarian pancreas pancreatic
parenchyma pathogen pathology patient patients pelvis pelvic pharynx placenta plaque pleura
pleural pneumonia pneumothorax polyp posterior prostate protein proximal pulmonary radiograph
radiology rectum renal resection respiratory retina retinal rib ribs sagittal scan sclera
sepsis shoulder sinus skin skull spinal spine spleen splenic stain stained stenosis stent
sternum stomach stroke surgery surgical symptom symptoms syndrome tendon therapy thoracic
thorax thrombus thyroid tissue tissues tomography tonsil toxic trachea transplant trauma
treatment tuberculosis tumor tumors tumour tumours ulcer ultrasound ureter urethra urinary
urine uterus uterine vaccine valve vascular vein veins venous ventricle ventricles ventricular
vertebra vertebrae vertebral vessel vessels viral virus wound xray
"""
WORDS = frozenset(_LIST.split())
"""Common words of medicine."""

_ENDINGS = (
    "itis|osis|oses|omas?|omata|a?emia|uria|opathy|opathies|ectomy|otomy|ostomy|plasty|scopy|scopic|"
    "algia|penia|plegia|paresis|trophy|trophic|megaly|sclerosis|stenosis|rrhage|rrhea|rrhoea|lysis|"
    "lytic|blast|blasts|cytes?|cytic|genesis|genic|tropin|mycin|cillin|statin|virus|viral|bacter"
)
_BEGINNINGS = (
    "angio|arthr|ather|bronch|carcin|cardi|cephal|cereb|chol[ae]|chondr|colono|cranio|cysto|cyto|"
    "dermat|echocard|electrocard|encephal|endo[cmst]|epitheli|erythr|esophag|oesophag|fibro|gastr|"
    "gingiv|glio|gluco|h[ae]{1,2}mat|h[ae]{1,2}mo[gprst]|hepat|histol|histop|hydroceph|hyper[cgkptv]|"
    "hypo[cdgkntpv]|hyster|immuno|infarct|intracran|intrav|isch|kerat|laryn|leuk|lipo|lymph|mamm[oa]|"
    "mening|metasta|micro[cbv]|myc[eo]|myel|myo[cmps]|necro|neopl|nephr|neuro|ocul|onco|ophthalm|orth"
    "op|osteo|ot[io][tl]|ovar|pancreat|patho|pericard|periph|perit|pharyng|phleb|pleur|pneum|poly[pu]|"
    "prostat|psych|pulmon|pyel|radiog|radiol|renal|retin|rhin|sarc|scler|scolio|spondyl|sten|thorac|"
    "thromb|thyr|trache|tub[eo]rc|uret|urol|uter|vasc|vaso|ventric|vertebr"
)
_MEDICAL = re.compile(rf"(?:{_BEGINNINGS})\w{{2,}}|\w{{2,}}(?:{_ENDINGS})")
_NOT_MEDICAL = re.compile(
    r"diplomas?|aromas?|analysis|analytic|catalytic|photogenic|stenograph\w*|"
    r"periphras\w*|psychic|sarcas\w*|orthodox\w*"
)


class MedicalVocabulary:
    """Says which words are medical.

    Args:
        words: further words, in any case.
    """

    def __init__(self, words: Iterable[str] = ()) -> None:
        self._words = WORDS | {word.casefold() for word in words}

    @classmethod
    def load(cls, path: Path | None) -> "MedicalVocabulary":
        """Add the words of a file, one on each line; of none without a file.

        Raises:
            DataError: the file cannot be read or holds no word.
        """
        if path is None:
            return cls()
        words = [line.strip() for _, line in read_lines(path) if line.strip()]
        if not words:
            raise DataError(f"{path}: no words; give one on each line")
        return cls(words)

    def __contains__(self, word: str) -> bool:
        word = word.casefold()
        if word in self._words:
            return True
        return bool(_MEDICAL.fullmatch(word)) and not _NOT_MEDICAL.fullmatch(word)

    def share(self, texts: Iterable[str]) -> tuple[float, int]:
        """Return the share of words that are medical, and how many different ones there are."""
        words = [word for text in texts for word in split_words(text)]
        medical = [word for word in words if word in self]
        return len(medical) / max(1, len(words)), len(set(medical))
