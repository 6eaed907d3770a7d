"""The platform around the processor: the chips and cards of a PC, from the PIC to the disk."""

from ..machine.state.jit import UNIT_DEVICES, UNIT_PLATFORM, register

register("device_access", "devices.bus", UNIT_DEVICES, slow=True)
UNIT_CARD_ACCESS = register("card_access", "devices.cards", UNIT_PLATFORM, slow=True)
