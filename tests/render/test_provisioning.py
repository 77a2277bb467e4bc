"""What Grafana reads at its start."""

import yaml

from sidecar.render.provisioning import render_board_provider, render_data_sources


def test_boards_are_read_from_a_folder_and_not_edited() -> None:
    """One provider of files; Grafana takes either a folder or the structure of files, not both."""
    (provider,) = yaml.safe_load(render_board_provider())["providers"]
    assert provider["type"] == "file" and provider["allowUiUpdates"] is False
    assert provider["options"].keys() == {"path"}


def test_exemplars_lead_to_the_traces_that_are_there() -> None:
    """The data source that a dot leads to exists, and the label is the one that exemplars have."""
    sources = {source["uid"]: source for source in yaml.safe_load(render_data_sources())["datasources"]}
    (destination,) = sources["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert destination == {"name": "trace_id", "datasourceUid": "tempo"} and "tempo" in sources
    assert sources["tempo"]["jsonData"]["tracesToMetrics"]["datasourceUid"] in sources


def test_a_dollar_is_written_twice() -> None:
    """Grafana expands `$NAME` in these files from its environment."""
    assert render_data_sources().replace("$$", "").count("$") == 0


def test_alerts_are_those_of_a_real_alertmanager() -> None:
    """Grafana shows them, and keeps its own alerts to itself; no two sources have one uid, and one is the default."""
    sources = yaml.safe_load(render_data_sources())["datasources"]
    assert len({source["uid"] for source in sources}) == len(sources) and sum("isDefault" in source for source in sources) == 1
    (alertmanager,) = (source for source in sources if source["type"] == "alertmanager")
    assert alertmanager["jsonData"] == {"implementation": "prometheus", "handleGrafanaManagedAlerts": False}
