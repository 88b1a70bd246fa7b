"""`python -m vlae_codec` is the command line."""

from .cli.main import main

main(prog_name="vlae-codec")
