"""Real faces -> a checkpoint: the loop, optimizers, resuming, several processes.

Comes in: a profile and two face stores. Goes out: checkpoint.safetensors and history.csv.
Where is what: learning rate and optimizer in `recipe`, the loop in `loop`, an unfinished training in `resume`, what
makes two trainings the same in `key`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "loop": ["fit", "initial_network", "describe", "pairs_of"],
        "key": ["training_key", "same_training"],
        "recipe": ["learning_rate", "make_optimizer", "plan"],
    },
)
