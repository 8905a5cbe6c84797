"""The embedded benchmark: faces drawn and manipulated on the spot, since real ones may not be handed on."""
