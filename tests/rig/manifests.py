"""Kubernetes manifests, judged: every rule that is known of them, in one list of faults.

    find_faults(read_documents(text)) == []

Built-in kinds: the schemas of Kubernetes 1.34 to 1.37, strict. Objects of the Prometheus operator: its own definitions, strict, and
promtool and amtool for what is in them. Pods: Pod Security "restricted", a read-only root, limits, probes by number. Between them:
names that lead nowhere, selectors that find nothing. In them: configurations, as `llm-sidecar check` finds them.

    python -m tests.rig.manifests FILE...      a file, or - for standard input; prints the faults; exit code 1 if there are any
"""

import sys
from collections.abc import Collection
from pathlib import Path

from tests.rig.kube_conduct import find_conduct_faults, find_object_faults
from tests.rig.kube_documents import Document, find_pods, read_documents
from tests.rig.kube_links import find_link_faults
from tests.rig.kube_schemas import find_schema_faults
from tests.rig.kube_settings import find_setting_faults
from tests.rig.operator_objects import find_operator_faults
from tests.rig.pod_security import find_security_faults


def find_faults(documents: list[Document], theirs: Collection[str] = ()) -> list[str]:
    """Return every fault of what is applied together, each with where it is; none: an empty list.

    `theirs`: what users bring themselves and are told of, as `Secret/name`.
    """
    found: list[str] = []
    for document in documents:
        found += [*find_schema_faults(document), *find_object_faults(document), *find_operator_faults(document)]
    if found:  # the rest may rely on types
        return found
    for pod in find_pods(documents):
        found += [*find_security_faults(pod), *find_conduct_faults(pod), *find_setting_faults(pod, documents)]
    return [*found, *find_link_faults(documents, theirs)]


def main(files: list[str]) -> int:
    """Judge files from the command line."""
    faults = [
        f"{file}: {fault}"
        for file in files
        for fault in find_faults(read_documents(sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")))
    ]
    print(*faults, sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
