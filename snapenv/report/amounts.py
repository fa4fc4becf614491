"""Write amounts of time, money, energy and CO2 as people read them; None is ``unknown``."""

from __future__ import annotations

_MS_PER_S, _MS_PER_MIN, _MS_PER_H = 1_000, 60_000, 3_600_000
_MJ_PER_J, _MJ_PER_WH, _MJ_PER_KWH = 1_000, 3_600_000, 3_600_000_000
_MG_PER_G, _MG_PER_KG, _MG_PER_T = 1_000, 1_000_000, 1_000_000_000
_MICROS_PER_CENT = 10_000
_UNKNOWN = "unknown"


def time(duration_ms: int | None) -> str:
    """Write a time, such as that of GPUs, in hours where it lasts one: ``1,234.5 h``, ``12 s``."""
    units = ((_MS_PER_H, "h"), (_MS_PER_MIN, "min"), (_MS_PER_S, "s"))
    return _in_units(duration_ms, units)


def energy(energy_mj: int | None) -> str:
    """Write millijoules as kilowatt-hours, or as what is smaller."""
    return _in_units(energy_mj, ((_MJ_PER_KWH, "kWh"), (_MJ_PER_WH, "Wh"), (_MJ_PER_J, "J")))


def mass(mass_mg: int | None) -> str:
    """Write milligrams as tons, kilograms or grams."""
    return _in_units(mass_mg, ((_MG_PER_T, "t"), (_MG_PER_KG, "kg"), (_MG_PER_G, "g")))


def money(micros: int | None, currency: str | None = None) -> str:
    """Write millionths of a currency to the cent: ``1,234.56 EUR``."""
    return _UNKNOWN if micros is None else cents(round(micros / _MICROS_PER_CENT), currency)


def cents(whole: int, currency: str | None = None) -> str:
    """Write hundredths of a currency: ``-0.05 EUR``."""
    units, rest = divmod(abs(whole), 100)
    amount = f"{'-' if whole < 0 else ''}{units:,}.{rest:02}"
    return f"{amount} {currency}" if currency else amount


def percent(share: float | None) -> str:
    """Write a share, 0 to 1."""
    return _UNKNOWN if share is None else f"{100 * share:.1f} %"


def _in_units(amount: int | None, units: tuple[tuple[int, str], ...]) -> str:
    """Write an amount in the first unit of which there is one, else in the last."""
    if amount is None:
        return _UNKNOWN
    size, unit = next((each for each in units if abs(amount) >= each[0]), units[-1])
    return f"{amount / size:,.1f} {unit}"
