"""The fixtures of houses."""

from tests.house.fixtures import house, houses, plain_house, signed, signing_house, way

__all__ = ["house", "houses", "plain_house", "signed", "signing_house", "way"]
