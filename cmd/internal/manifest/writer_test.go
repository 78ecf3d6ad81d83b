package manifest_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"pgregory.net/rapid"

	"github.com/fairlead/fairlead/cmd/internal/manifest"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

// awkward gives texts that YAML has its own ideas about.
func awkward() *rapid.Generator[string] {
	return rapid.OneOf(rapid.StringN(1, 12, -1), rapid.SampledFrom([]string{
		"1", "0x1f", "1e3", "1:30", "true", "yes", "null", "~", "2026-11-23", "- a", "a: b", "#x", "<<", "=", "!!int 1", "&a", "*a", "{", "a\nb\n", "  a", "%", "@", "|",
	}))
}

// fill sets fields that documents can have to values that are not empty.
func fill(t *rapid.T, m protoreflect.Message, names []protoreflect.Name) {
	text := awkward()
	for _, name := range names {
		fd := m.Descriptor().Fields().ByName(name)
		if !rapid.Bool().Draw(t, "has "+string(name)) {
			continue
		}
		switch {
		case fd.IsMap():
			for k, v := range rapid.MapOfN(text, rapid.OneOf(text, rapid.Just("")), 1, 3).Draw(t, string(name)) {
				m.Mutable(fd).Map().Set(protoreflect.ValueOfString(k).MapKey(), protoreflect.ValueOfString(v))
			}
		case fd.IsList():
			for _, v := range rapid.SliceOfN(text, 1, 3).Draw(t, string(name)) {
				m.Mutable(fd).List().Append(protoreflect.ValueOfString(v))
			}
		case fd.Kind() == protoreflect.StringKind:
			m.Set(fd, protoreflect.ValueOfString(text.Draw(t, string(name))))
		case fd.Kind() == protoreflect.BoolKind:
			m.Set(fd, protoreflect.ValueOfBool(true))
		case fd.Kind() == protoreflect.DoubleKind:
			m.Set(fd, protoreflect.ValueOfFloat64(rapid.Float64Range(0.001, 1e6).Draw(t, string(name))))
		case fd.Kind() == protoreflect.Int32Kind:
			m.Set(fd, protoreflect.ValueOfInt32(rapid.Int32Range(0, 1000).Draw(t, string(name))))
		case fd.Kind() == protoreflect.EnumKind:
			m.Set(fd, protoreflect.ValueOfEnum(1))
		case fd.Message().FullName() == "google.protobuf.Duration":
			m.Set(fd, protoreflect.ValueOfMessage((&durationpb.Duration{Nanos: rapid.Int32Range(0, 999_999_999).Draw(t, string(name)), Seconds: 61}).ProtoReflect()))
		default:
			var inner []protoreflect.Name
			for i := range fd.Message().Fields().Len() {
				inner = append(inner, fd.Message().Fields().Get(i).Name())
			}
			fill(t, m.Mutable(fd).Message(), inner)
		}
	}
}

// What is written is read back as it was, and the same is written the same.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := manifest.Endpoint{ID: "diabetes", Endpoint: &deployv1.Endpoint{}}
		fill(t, e.Endpoint.ProtoReflect(), manifest.EndpointFields())
		for i, id := range []string{"aaa", "bbb"} {
			v := &deployv1.EndpointVersion{IsDefault: i == 1}
			fill(t, v.ProtoReflect(), manifest.VersionFields())
			if v.EntryScript = "score.py"; i == 1 {
				v.Type = 0
			}
			e.Versions = append(e.Versions, manifest.Version{ID: id, Version: v, Source: rapid.SampledFrom([]string{"", "diabetes/aaa"}).Draw(t, "source")})
		}
		written, err := manifest.Write(e)
		if err != nil {
			t.Fatal(err)
		}
		all, problems := manifest.Read("e.yaml", written)
		if len(problems) > 0 || len(all) != 1 {
			t.Fatalf("%d documents, problems %v in\n%s", len(all), problems, written)
		}
		got := all[0]
		if diff := cmp.Diff(e.Endpoint, got.Endpoint, protocmp.Transform()); diff != "" {
			t.Errorf("endpoint (-written +read):\n%s\n%s", diff, written)
		}
		for i, v := range e.Versions {
			if got.Versions[i].ID != v.ID || got.Versions[i].Source != v.Source {
				t.Errorf("version %s has become %+v", v.ID, got.Versions[i])
			}
			if diff := cmp.Diff(v.Version, got.Versions[i].Version, protocmp.Transform()); diff != "" {
				t.Errorf("version (-written +read):\n%s\n%s", diff, written)
			}
		}
		if again, err := manifest.Write(got); err != nil || string(again) != string(written) {
			t.Errorf("written again, error %v:\n%s\nit was\n%s", err, again, written)
		}
	})
}

func TestDescribe(t *testing.T) {
	shown := &deployv1.Endpoint{}
	if err := protojson.Unmarshal([]byte(`{
		"name": "workspaces/default/endpoints/fruit", "uid": "u", "etag": "e", "computeTarget": "workspaces/default/computeTargets/team",
		"authMode": "AUTH_MODE_KEY", "state": "STATE_HEALTHY", "versions": [{
			"name": "workspaces/default/endpoints/fruit/versions/aaa", "models": ["workspaces/default/models/m/versions/3"],
			"environment": "workspaces/default/environments/e/versions/2", "entryScript": "score.py", "isDefault": true, "type": "TYPE_TREATMENT",
			"autoscale": {"minReplicas": 0, "maxReplicas": 4}, "replicas": 1, "state": "STATE_HEALTHY",
			"sourceFiles": [{"path": "score.py", "sha256": "00"}], "runtime": {"kind": "KIND_SCRIPT"}
		}, {
			"name": "workspaces/default/endpoints/fruit/versions/bbb", "models": ["workspaces/default/models/m/versions/4"], "replicas": 1,
			"runtime": {"kind": "KIND_SCIKIT_LEARN", "script": {"workers": 2}}
		}, {
			"name": "workspaces/default/endpoints/fruit/versions/ccc", "replicas": 1,
			"runtime": {"kind": "KIND_CUSTOM", "custom": {"command": ["serve", "{port}"], "protocol": "PROTOCOL_GRPC"}}
		}]}`), shown); err != nil {
		t.Fatal(err)
	}
	before := proto.CloneOf(shown)
	got, err := manifest.Write(manifest.Describe(shown, map[string]string{"aaa": "fruit/aaa"}))
	if err != nil {
		t.Fatal(err)
	}
	const want = `kind: Endpoint
name: fruit
computeTarget: team
authMode: key
versions:
  - name: aaa
    source: fruit/aaa
    models:
      - m:3
    entryScript: score.py
    environment: e:2
    autoscale:
      minReplicas: 0
      maxReplicas: 4
    default: true
  - name: bbb
    models:
      - m:4
    replicas: 1
    runtime:
      kind: scikitLearn
      script:
        workers: 2
  - name: ccc
    replicas: 1
    runtime:
      kind: custom
      custom:
        command:
          - serve
          - '{port}'
        protocol: grpc
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, shown, protocmp.Transform()); diff != "" {
		t.Errorf("the endpoint itself has changed:\n%s", diff)
	}
}
