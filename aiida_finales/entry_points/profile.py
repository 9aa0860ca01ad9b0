"""Load the AiiDA profile, or say how to get one."""

from __future__ import annotations

from aiida_finales.exceptions import InputError


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
