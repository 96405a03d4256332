"""The page's address: what of its state a link or a reload brings back."""

from collections.abc import Collection, Mapping

from captioning.errors import shown


def read_address(asked: Mapping[str, str], offers: Mapping[str, Collection[str]]) -> tuple[dict[str, str], str]:
    """What an address asks for and the page has, and a sentence on what it has not (empty if it has all).

    Args:
        asked: the parameters of the address; those that the page does not know are left alone.
        offers: for each parameter of the page the values that it can have.
    """
    known = {name: value for name, value in asked.items() if value in offers.get(name, ())}
    missing = [f"{name} “{shown(asked[name])}”" for name in offers if name in asked and name not in known]
    notice = f"The address asks for what is not here ({', '.join(missing)}): you see the default." if missing else ""
    return known, notice
