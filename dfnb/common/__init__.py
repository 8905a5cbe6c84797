"""What every room needs and no room is about: errors, files, locks, processes, what machine this is.

Comes in: nothing of faces, videos or networks. Goes out: `UserError`, atomic writes, one command at a time, a device.
Public: the modules errors, files, locks, processes, faults, loading, devices, tuning, environment, shutdown.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "errors": ["UserError"],
    },
)
