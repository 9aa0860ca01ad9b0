"""The campaign file: ``file`` says what may stand in one, ``space`` where a campaign looks.

``reading`` reads our YAML and says in words what is wrong with it, ``doubts`` what may not be meant; ``f2opt`` converts
the published optimiser's JSON.
"""

from aiida_finales.schemas.campaign.doubts import doubt_references, is_any_temperature, list_doubts
from aiida_finales.schemas.campaign.f2opt import convert_f2opt
from aiida_finales.schemas.campaign.file import (
    CampaignFile,
    ObjectiveSection,
    SourceSection,
    StopSection,
    WarmStartSection,
)
from aiida_finales.schemas.campaign.reading import parse_campaign, read_campaign_file, read_campaign_text
from aiida_finales.schemas.campaign.space import CategorySection, ConstraintSection, VariableSection, WithinSection

__all__ = [
    "CampaignFile",
    "CategorySection",
    "ConstraintSection",
    "ObjectiveSection",
    "SourceSection",
    "StopSection",
    "VariableSection",
    "WarmStartSection",
    "WithinSection",
    "convert_f2opt",
    "doubt_references",
    "is_any_temperature",
    "list_doubts",
    "parse_campaign",
    "read_campaign_file",
    "read_campaign_text",
]
