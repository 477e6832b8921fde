"""Check launch/gke.yaml: by the schema of Kubernetes, by JAX's own detection, and by the flags of main.py."""

import importlib.util
import json
import re
import sys
import types
from types import SimpleNamespace

import pytest
import yaml
from jax._src.clusters import k8s_cluster
from jax._src.clusters.cluster import ClusterEnv

import main
from tests.launch.programs import LAUNCH, ROOT
from tests.launch.write_schema import KINDS, PATH

SCHEMA = json.loads(PATH.read_text())['definitions']
TYPES = {'str': str, 'int': int, 'bool': bool}


def load():
  documents = list(yaml.safe_load_all((LAUNCH / 'gke.yaml').read_text()))
  objects = {document['kind']: document for document in documents}
  assert sorted(objects) == sorted(KINDS)
  assert len(documents) == len(objects)
  return objects


@pytest.fixture
def objects():
  return load()


def errors(type_name, value, path=''):
  """Yield path and fault of all parts of a value that are not of the type: unknown, missing and wrong fields."""
  if match := re.fullmatch(r'List\[(.*)\]', type_name):
    if not isinstance(value, list):
      yield f'{path}: not a list'
      return
    for i, item in enumerate(value):
      yield from errors(match.group(1), item, f'{path}[{i}]')
  elif type_name == 'Dict[str, str]':
    if not (isinstance(value, dict) and all(isinstance(item, str) for item in [*value, *value.values()])):
      yield f'{path}: not a map of strings'
  elif type_name in TYPES:
    if type(value) is not TYPES[type_name]:
      yield f'{path}: not {type_name}'
  elif type_name not in SCHEMA:
    yield f'{path}: {type_name} is not in the schema; run tests/launch/write_schema.py'
  elif not isinstance(value, dict):
    yield f'{path}: not a map'
  else:
    known = SCHEMA[type_name]['types']
    yield from (f'{path}.{name}: unknown' for name in value.keys() - known)
    yield from (f'{path}.{name}: missing' for name in SCHEMA[type_name]['required'] if name not in value)
    for name in value.keys() & known:
      yield from errors(known[name], value[name], f'{path}.{name}')


def faults(objects):
  return [fault for kind, value in objects.items() for fault in errors(f'V1{kind}', value, kind)]


def test_every_object_has_the_fields_of_its_kind(objects):
  assert faults(objects) == []
  rbac = 'rbac.authorization.k8s.io/v1'
  versions = {'Job': 'batch/v1', 'Role': rbac, 'RoleBinding': rbac, 'Service': 'v1', 'ServiceAccount': 'v1'}
  assert {kind: value['apiVersion'] for kind, value in objects.items()} == versions
  assert all(re.fullmatch(r'[a-z]([a-z0-9-]*[a-z0-9])?', value['metadata']['name']) for value in objects.values())


@pytest.mark.parametrize(
  ('path', 'value', 'fault'),
  [
    ('Job.spec.completion', 2, 'Job.spec.completion: unknown'),
    ('Job.spec.template', None, 'Job.spec.template: missing'),
    ('Job.spec.parallelism', '2', 'Job.spec.parallelism: not int'),
    ('Job.spec.template.spec.containers', {}, 'Job.spec.template.spec.containers: not a list'),
    ('Service.spec.selector', {'job-name': 2}, 'Service.spec.selector: not a map of strings'),
    ('RoleBinding.roleRef', 'seqmodels', 'RoleBinding.roleRef: not a map'),
    ('RoleBinding.roleRef', None, 'RoleBinding.roleRef: missing'),
  ],
)
def test_the_schema_finds_faults(objects, path, value, fault):
  *parents, name = path.split('.')
  parent = objects
  for key in parents:
    parent = parent[key]
  if value is None:
    del parent[name]
  else:
    parent[name] = value
  assert faults(objects) == [fault]


def as_client(value):
  """Return what the Python client makes of an object: attributes in snake case, labels as they are."""
  if isinstance(value, list):
    return [as_client(item) for item in value]
  if not isinstance(value, dict):
    return value
  snake = {re.sub('([a-z])([A-Z]+)', r'\1_\2', name).lower(): item for name, item in value.items()}
  kept = {name: item if name in ('labels', 'selector') else as_client(item) for name, item in snake.items()}
  return SimpleNamespace(**kept)


class Api:
  """The calls of the Kubernetes API that JAX makes in a pod of the job, and which permissions they need."""

  def __init__(self, objects):
    self.objects, self.used = objects, set()

  def list_namespaced_pod(self, namespace, field_selector):
    self.used.add(('', 'pods', 'list'))
    job = self.objects['Job']
    owner = {'controller': True, 'kind': 'Job', 'name': job['metadata']['name']}
    metadata = {'name': 'pod', 'labels': {'job-name': job['metadata']['name']}, 'ownerReferences': [owner]}
    return as_client({'items': [{'metadata': metadata, 'spec': job['spec']['template']['spec']}]})

  def list_namespaced_service(self, namespace):
    self.used.add(('', 'services', 'list'))
    return as_client({'items': [self.objects['Service']]})

  def read_namespaced_job(self, name, namespace):
    self.used.add(('batch', 'jobs', 'get'))
    job = self.objects['Job']
    assert name == job['metadata']['name']
    return as_client({**job, 'metadata': {'labels': {}, **job['metadata']}})


@pytest.fixture
def pod(objects, monkeypatch):
  """JAX's detection in pod 1 of the job, with an API that answers from gke.yaml; and that API."""
  api = Api(objects)
  client = SimpleNamespace(
    CoreV1Api=lambda: api, BatchV1Api=lambda: api, exceptions=SimpleNamespace(ApiException=PermissionError)
  )
  kubernetes = types.ModuleType('kubernetes')
  kubernetes.client, kubernetes.config = client, SimpleNamespace(load_incluster_config=lambda: None)
  monkeypatch.setitem(sys.modules, 'kubernetes', kubernetes)
  monkeypatch.setenv('KUBERNETES_SERVICE_HOST', '10.0.0.1')
  monkeypatch.setenv('HOSTNAME', 'localhost')
  monkeypatch.setenv('JOB_COMPLETION_INDEX', '1')
  known = list(ClusterEnv._cluster_types)
  module = importlib.util.module_from_spec(k8s_cluster.__spec__)  # its answers are cached in the class
  module.__spec__.loader.exec_module(module)
  monkeypatch.setattr(module.K8sCluster, '_namespace', lambda: 'seqmodels')
  yield module.K8sCluster, api
  ClusterEnv._cluster_types[:] = known


def test_the_processes_find_each_other(pod):
  cluster, api = pod
  job, service = api.objects['Job'], api.objects['Service']
  assert cluster.is_env_present()
  address = cluster.get_coordinator_address(None, None)
  host, _, port = address.partition(':')
  assert (
    host == f'{job["metadata"]["name"]}-0.{service["metadata"]["name"]}'
  )  # the name that the service gives to pod 0
  (container,) = job['spec']['template']['spec']['containers']
  assert container['ports'] == [{'containerPort': int(port)}]
  assert cluster.get_process_count() == job['spec']['parallelism'] == job['spec']['completions']
  assert container['env'] == [{'name': 'JOB_COMPLETIONS', 'value': str(cluster.get_process_count())}]
  assert cluster.get_process_id() == 1
  # The service is the one that JAX looks for among all of the namespace.
  assert service['spec']['clusterIP'] == 'None'
  assert service['spec']['publishNotReadyAddresses'] is True
  assert cluster._headless_svc().metadata.name == 'seqmodels'
  allowed = {
    (group, resource, verb)
    for rule in api.objects['Role']['rules']
    for group in rule['apiGroups']
    for resource in rule['resources']
    for verb in rule['verbs']
  }
  assert allowed == api.used  # what it asks for and nothing else


def test_the_job_runs_under_the_account_that_has_the_role(objects):
  name = objects['ServiceAccount']['metadata']['name']
  assert objects['Job']['spec']['template']['spec']['serviceAccountName'] == name
  binding = objects['RoleBinding']
  assert binding['subjects'] == [{'kind': 'ServiceAccount', 'name': name}]
  assert binding['roleRef']['name'] == objects['Role']['metadata']['name']
  assert binding['roleRef']['kind'] == 'Role'


def test_failures_are_treated_as_main_reports_them(objects):
  spec = objects['Job']['spec']
  assert spec['completionMode'] == 'Indexed'
  pod = spec['template']['spec']
  assert pod['restartPolicy'] == 'Never'  # a failure policy takes no other
  (container,) = pod['containers']
  actions = {}
  for rule in spec['podFailurePolicy']['rules']:
    if codes := rule.get('onExitCodes'):
      assert (codes['operator'], codes['containerName']) == ('In', container['name'])
      actions |= dict.fromkeys(codes['values'], rule['action'])
    else:
      assert rule == {'action': 'Ignore', 'onPodConditions': [{'type': 'DisruptionTarget', 'status': 'True'}]}
  assert actions == {143: 'Ignore'}


def test_the_container_runs_main_and_gets_its_signals(objects):
  (container,) = objects['Job']['spec']['template']['spec']['containers']
  program, *rest = [*container['command'], *container['args']]
  assert program.endswith('/python')  # a shell would keep the signals to itself
  assert rest[0] == 'main.py'
  assert (ROOT / rest[0]).exists()
  _, arguments = main.parse(rest)
  mounts = [mount['mountPath'] for mount in container['volumeMounts']]
  assert arguments['workdir'].startswith(tuple(f'{path}/' for path in mounts))
  volumes = objects['Job']['spec']['template']['spec']['volumes']
  assert {mount['name'] for mount in container['volumeMounts']} == {volume['name'] for volume in volumes}
