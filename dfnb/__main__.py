"""`python -m dfnb`, and so `accelerate launch -m dfnb train ...` and `torchrun -m dfnb train ...`."""

from dfnb.cli import main

if __name__ == "__main__":
    main()
