"""Write kubernetes_schema.json: the fields, types and required fields of the Kubernetes objects in launch/gke.yaml.

  pip install kubernetes==37.0.2 && python -m tests.launch.write_schema

The source is the official Python client, which is generated from the OpenAPI specification of Kubernetes. It is not
among the requirements, since it takes 126 MB. Of the definitions that objects of gke.yaml do not use the names remain
as types, without their fields.
"""

import json
import pathlib
import re
from typing import Any

import yaml

PATH = pathlib.Path(__file__).with_name('kubernetes_schema.json')
MANIFEST = pathlib.Path(__file__).parents[2] / 'launch' / 'gke.yaml'
KINDS = ('Job', 'Role', 'RoleBinding', 'Service', 'ServiceAccount')


def main() -> None:
  import kubernetes
  from kubernetes import client

  definitions: dict[str, Any] = {}

  def visit(type_name: str, value: Any) -> None:
    """Add the definitions that `value`, of this type, uses."""
    if match := re.fullmatch(r'List\[(.*)\]', type_name):
      for item in value:
        visit(match.group(1), item)
    elif hasattr(client, type_name) and isinstance(value, dict):
      model = getattr(client, type_name)
      types = {model.attribute_map[name]: text for name, text in model.openapi_types.items()}
      required = [model.attribute_map[name] for name, field in model.model_fields.items() if field.is_required()]
      definitions[type_name] = {'types': types, 'required': sorted(required)}
      for name, item in value.items():
        visit(types[name], item)

  for document in yaml.safe_load_all(MANIFEST.read_text()):
    visit(f'V1{document["kind"]}', document)
  source = {'source': f'kubernetes {kubernetes.__version__} (Python client)', 'definitions': definitions}
  PATH.write_text(json.dumps(source, indent=1, sort_keys=True) + '\n')


if __name__ == '__main__':
  main()
