package manifest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/fairlead/fairlead/cmd/internal/manifest"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

const everything = `
kind: Endpoint
name: diabetes
description: for people
computeTarget: local
authMode: token
telemetryEnabled: true
tags: {team: blue, number: 1}
properties: {origin: x}
versions:
  - name: versiona
    description: the first
    tags: {a: b}
    properties: {c: d}
    models: ["m:1", n]
    source: ./src
    entryScript: score.py
    environment: sklearn:2
    environmentVariables: {A: "1", B: 2}
    resources: {cpu: 0.5, cpuLimit: 2, memoryGb: 1, memoryLimitGb: 2, gpus: 1}
    autoscale: {minReplicas: 0, maxReplicas: 5, targetUtilizationPercent: 60, refreshPeriod: 2s, idleTime: 5m}
    requestSettings: {scoringTimeout: 1500ms, maxConcurrentRequestsPerReplica: 4, maxQueueWait: 500ms}
    livenessProbe: &probe {period: 5s, initialDelay: 30s, timeout: 3s, successThreshold: 2, failureThreshold: 4}
    collectModelData: true
    namespace: prod
    trafficPercentile: 20.5
    type: control
  - name: versionb
    entryScript: score.py
    replicas: 2
    livenessProbe: *probe
    default: true
`

func TestEverything(t *testing.T) {
	all, problems := manifest.Read("e.yaml", []byte(everything))
	if len(problems) > 0 || len(all) != 1 {
		t.Fatalf("%d documents, problems %v", len(all), problems)
	}
	e := all[0]
	if e.ID != "diabetes" || e.Versions[0].ID != "versiona" || e.Versions[0].Source != "./src" || e.Versions[1].ID != "versionb" {
		t.Errorf("got %+v", e)
	}
	check := func(got proto.Message, want string) {
		t.Helper()
		expected := got.ProtoReflect().New().Interface()
		if err := protojson.Unmarshal([]byte(want), expected); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(protojson.Format(expected), protojson.Format(got)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	check(e.Endpoint, `{"description": "for people", "computeTarget": "local", "authMode": "AUTH_MODE_TOKEN", "telemetryEnabled": true,
		"tags": {"team": "blue", "number": "1"}, "properties": {"origin": "x"}}`)
	const probe = `"livenessProbe": {"period": "5s", "initialDelay": "30s", "timeout": "3s", "successThreshold": 2, "failureThreshold": 4}`
	check(e.Versions[0].Version, `{"description": "the first", "tags": {"a": "b"}, "properties": {"c": "d"}, "models": ["m:1", "n"], "entryScript": "score.py",
		"environment": "sklearn:2", "environmentVariables": {"A": "1", "B": "2"}, "resources": {"cpu": 0.5, "cpuLimit": 2, "memoryGb": 1, "memoryLimitGb": 2, "gpus": 1},
		"autoscale": {"minReplicas": 0, "maxReplicas": 5, "targetUtilizationPercent": 60, "refreshPeriod": "2s", "idleTime": "300s"},
		"requestSettings": {"scoringTimeout": "1.5s", "maxConcurrentRequestsPerReplica": 4, "maxQueueWait": "0.5s"}, `+probe+`,
		"collectModelData": true, "namespace": "prod", "trafficPercentile": 20.5, "type": "TYPE_CONTROL"}`)
	check(e.Versions[1].Version, `{"entryScript": "score.py", "replicas": 2, "isDefault": true, `+probe+`}`)
	if got := e.At("versions[0].requestSettings.scoringTimeout").Line; got != 22 {
		t.Errorf("the timeout is at line %d", got)
	}
	if got := e.At("versions[0].models[1]").Line; got != 15 {
		t.Errorf("the models are at line %d", got)
	}
}

func TestProblemsAreToldAtOnce(t *testing.T) {
	_, problems := manifest.Read("e.yaml", []byte(`kind: Endpoint
name: diabetes
authmode: key
authMode: Key
telemetryEnabled: "yes"
tags: [a]
made_up: 1
versions:
  - name: aaa
    entryScript: score.py
    replicas: two
    replicas: 3
    resources: {cpu: lots, memory_gb: 1, gpus: 1.5}
    requestSettings: {scoringTimeout: 60, maxQueueWait: soon}
    models: m
    namespace:
    default: true
    state: healthy
  - name: aaa
    default: true
    type: default
---
kind: Model
---
- list
---
kind: Endpoint
versions: {}
`))
	var got []string
	for _, p := range problems {
		got = append(got, fmt.Sprintf("%s: %s %s", p.Place, p.Field, p.Description))
	}
	slices.Sort(got)
	want := []string{
		`e.yaml:11: versions[0].replicas must be a whole number, not "two"`,
		`e.yaml:12: versions[0].replicas is given more than once`,
		`e.yaml:13: versions[0].resources.cpu must be a number, not "lots"`,
		`e.yaml:13: versions[0].resources.gpus must be a whole number, not "1.5"`,
		`e.yaml:13: versions[0].resources.memory_gb is not known; did you mean memoryGb?`,
		`e.yaml:14: versions[0].requestSettings.maxQueueWait must be a time with its unit, for example 500ms, 60s or 5m, not "soon"`,
		`e.yaml:14: versions[0].requestSettings.scoringTimeout must be a time with its unit, for example 500ms, 60s or 5m, not "60"`,
		`e.yaml:15: versions[0].models must be a list`,
		`e.yaml:16: versions[0].namespace has no value; give one, or leave out the key`,
		`e.yaml:19: versions[1].default aaa is the default already; only one version can be`,
		`e.yaml:19: versions[1].entryScript must be given: the script with init() and run(); or a runtime that needs none`,
		`e.yaml:19: versions[1].name there is a version aaa at line 9 already`,
		`e.yaml:21: versions[1].type must be one of control, treatment, not "default"`,
		`e.yaml:23: kind must be Endpoint, not "Model"`,
		`e.yaml:25:  must be an object of keys and values`,
		`e.yaml:27: name must be given`,
		`e.yaml:27: versions must be given: an endpoint has at least one version`,
		`e.yaml:28: versions must be a list`,
		`e.yaml:3: authmode is not known; did you mean authMode?`,
		`e.yaml:4: authMode must be one of key, none, token, not "Key"`,
		`e.yaml:5: telemetryEnabled must be true or false, not "yes"`,
		`e.yaml:6: tags must be an object of keys and values`,
		`e.yaml:7: made_up is not known; these are: authMode, computeTarget, description, kind, name, properties, tags, telemetryEnabled, versions`,
	}
	for _, line := range got {
		if strings.Contains(line, "versions[0].state") { // its suggestions are many
			got = slices.DeleteFunc(got, func(s string) bool { return s == line })
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Every field that users can set can be written in a file.
func TestNoFieldIsForgotten(t *testing.T) {
	elsewhere := map[protoreflect.Name]string{
		"name": "the key name", "etag": "guards single changes", "source_files": "the key source", "is_default": "the key default",
	}
	check := func(m proto.Message, known []protoreflect.Name) {
		fields := m.ProtoReflect().Descriptor().Fields()
		for i := range fields.Len() {
			fd := fields.Get(i)
			behaviours, _ := proto.GetExtension(fd.Options(), annotations.E_FieldBehavior).([]annotations.FieldBehavior)
			if slices.Contains(behaviours, annotations.FieldBehavior_OUTPUT_ONLY) || slices.Contains(known, fd.Name()) || elsewhere[fd.Name()] != "" {
				continue
			}
			t.Errorf("%s cannot be written", fd.FullName())
		}
	}
	check(&deployv1.Endpoint{}, manifest.EndpointFields())
	check(&deployv1.EndpointVersion{}, manifest.VersionFields())
}

func TestTwice(t *testing.T) {
	all, problems := manifest.Read("e.yaml", []byte("kind: Endpoint\nname: aaa\nversions: [{name: v11, entryScript: a.py}]\n---\nkind: Endpoint\nname: aaa\nversions: [{name: v11, entryScript: a.py}]\n"))
	if len(problems) > 0 || len(manifest.Twice(all)) != 1 {
		t.Errorf("problems %v, twice %v", problems, manifest.Twice(all))
	}
}

func TestMergeKeysAreHonoured(t *testing.T) {
	all, problems := manifest.Read("e.yaml", []byte(`kind: Endpoint
name: aaa
versions:
  - &first
    name: one
    entryScript: a.py
    resources: &small {cpu: 1, memoryGb: 2}
  - <<: *first
    name: two
    resources: {gpus: 1, <<: [*small]}
`))
	if len(problems) > 0 || len(all) != 1 || len(all[0].Versions) != 2 {
		t.Fatalf("problems %v, read %+v", problems, all)
	}
	v := all[0].Versions[1]
	if r := v.Version.GetResources(); v.ID != "two" || v.Version.GetEntryScript() != "a.py" || r.GetCpu() != 1 || r.GetMemoryGb() != 2 || r.GetGpus() != 1 {
		t.Errorf("read %v", v)
	}
	_, problems = manifest.Read("e.yaml", []byte("kind: Endpoint\nname: aaa\n<<: 1\nversions: [{name: one, entryScript: a.py}]\n"))
	if len(problems) != 1 || problems[0].Field != "<<" {
		t.Errorf("problems %v", problems)
	}
}

// FuzzRead checks that the reader survives everything, and that what it takes
// without a problem has a name and a version.
func FuzzRead(f *testing.F) {
	f.Add([]byte(everything))
	f.Add([]byte("kind: Endpoint\nname: *x"))
	f.Add([]byte("a: &a [*a]\nkind: Endpoint\nversions: *a"))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, problems := manifest.Read("f", data)
		if len(problems) > 0 {
			return
		}
		for _, e := range all {
			if e.ID == "" || len(e.Versions) == 0 || e.Versions[0].Version.GetEntryScript() == "" {
				t.Errorf("taken without a problem: %+v", e)
			}
		}
	})
}
