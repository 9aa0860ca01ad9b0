"""Load the AiiDA profile, or say how to get one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiida_finales.exceptions import InputError

if TYPE_CHECKING:
    from aiida.manage.configuration import Profile


def demand_profile() -> None:
    """Load the profile that was chosen, or the default one; a loaded one stays.

    :raises InputError: when there is no profile, or its storage cannot be opened.
    """
    from aiida.common.exceptions import AiidaException, ConfigurationError
    from aiida.manage import get_manager

    manager = get_manager()
    try:
        if manager.get_profile() is None:
            manager.load_profile()
        if not manager.profile_storage_loaded:
            manager.get_profile_storage()
    except ConfigurationError as error:
        reason = str(error).splitlines()[0]
        message = f"no AiiDA profile can be used ({reason}): make one with 'verdi presto --use-zeromq'"
        raise InputError(message) from error
    except AiidaException as error:
        raise InputError(f"the storage of the AiiDA profile cannot be opened: {error}") from error


def loaded_profile() -> Profile:
    """Return the loaded profile.

    :raises InputError: when none is loaded.
    """
    from aiida.manage import get_manager

    profile = get_manager().get_profile()
    if profile is None:
        raise InputError("no AiiDA profile is loaded: make one with 'verdi presto --use-zeromq'")
    return profile


def open_session() -> Any:
    """Return the database session of the loaded profile."""
    from aiida.manage import get_manager

    storage: Any = get_manager().get_profile_storage()
    return storage.get_session()
