"""Network x faces -> a score a face -> AUC with intervals.

Comes in: a network and a face store, or scores alone. Goes out: score tables, AUCs, paired comparisons.
Where is what: running a network in `inference` and `score`, tables on disk in `score_table`, numbers in `metrics`,
comparisons of networks in `comparisons`, over several sets at once in `contrasts`, averages over them in `ensembles`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "metrics": [
            *("AUC", "Comparison", "PairAccuracy", "auc", "auc_logit", "compare", "pair_accuracy"),
            *("frame_scores", "video_scores"),
        ],
        "comparisons": ["holm", "over_groups"],
        "inference": ["Scorer"],
        "score": ["FaceScores", "score_store", "score_pairs"],
    },
)
