package plan_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/fairlead/fairlead/cmd/internal/plan"
	"github.com/fairlead/fairlead/platform/resourcename"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
)

const name = "workspaces/default/endpoints/e"

// spec gives a version that runs with so many processors.
func spec(cpu float64) *deployv1.EndpointVersion {
	return &deployv1.EndpointVersion{EntryScript: "score.py", Resources: &deployv1.ReplicaResources{Cpu: cpu}}
}

func there(id string, cpu, percentile float64) *deployv1.EndpointVersion {
	v := spec(cpu)
	v.Name, v.TrafficPercentile, v.Type, v.State = name+"/versions/"+id, percentile, deployv1.EndpointVersion_TYPE_TREATMENT, deployv1.State_STATE_HEALTHY
	return v
}

func endpoint(byDefault string, versions ...*deployv1.EndpointVersion) *deployv1.Endpoint {
	e := &deployv1.Endpoint{Name: name, AuthMode: deployv1.Endpoint_AUTH_MODE_KEY, DefaultVersion: byDefault, Versions: versions}
	for _, v := range versions {
		v.IsDefault = resourcename.Last(v.GetName()) == byDefault
		if v.GetType() == deployv1.EndpointVersion_TYPE_CONTROL {
			e.ControlVersion = resourcename.Last(v.GetName())
		}
	}
	return e
}

func wanted(versions ...plan.Version) plan.Wanted {
	return plan.Wanted{ID: "e", Endpoint: &deployv1.Endpoint{AuthMode: deployv1.Endpoint_AUTH_MODE_KEY}, Versions: versions}
}

// words gives the steps in short.
func words(p plan.Plan) []string {
	var all []string
	for _, s := range p.Steps {
		text := string(s.Verb)
		if s.Version != "" {
			text += " " + s.Version
		}
		if s.Verb == plan.MoveTraffic {
			for _, field := range s.Mask {
				switch field {
				case "traffic_percentile":
					text += fmt.Sprintf(" %g", s.Message.GetTrafficPercentile())
				case "is_default":
					text += " default"
				case "type":
					text += " " + strings.ToLower(strings.TrimPrefix(s.Message.GetType().String(), "TYPE_"))
				}
			}
		}
		all = append(all, text)
	}
	return all
}

func TestMake(t *testing.T) {
	tests := []struct {
		name    string
		current *deployv1.Endpoint
		wanted  plan.Wanted
		prune   bool
		want    []string
		kept    []string
	}{
		{"nothing there", nil, wanted(plan.Version{ID: "a", Version: spec(1)}), false, []string{"create-endpoint a"}, nil},
		{"the default is the first", nil, wanted(plan.Version{ID: "a", Version: spec(1), Percentile: 10, Control: true}, plan.Version{ID: "b", Version: spec(1), Default: true}), false,
			[]string{"create-endpoint b", "create-version a", "move-traffic a 10 control"}, nil},
		{"so already", endpoint("a", there("a", 1, 0), there("b", 1, 10)), wanted(plan.Version{ID: "a", Version: spec(1)}, plan.Version{ID: "b", Version: spec(1), Percentile: 10}), false, nil, nil},
		{"one differs", endpoint("a", there("a", 1, 0)), wanted(plan.Version{ID: "a", Version: spec(2)}), false, []string{"update-version a"}, nil},
		{"new before traffic", endpoint("a", there("a", 1, 60)), wanted(plan.Version{ID: "a", Version: spec(1), Percentile: 20}, plan.Version{ID: "b", Version: spec(1), Percentile: 80, Default: true}), false,
			[]string{"create-version b", "move-traffic a 20", "move-traffic b 80 default"}, nil},
		{"what shrinks is first", endpoint("a", there("a", 1, 20), there("b", 1, 80)), wanted(plan.Version{ID: "a", Version: spec(1), Percentile: 80}, plan.Version{ID: "b", Version: spec(1), Percentile: 20}), false,
			[]string{"move-traffic b 20", "move-traffic a 80"}, nil},
		{"the old one stays", endpoint("a", there("a", 1, 0), there("z", 1, 10)), wanted(plan.Version{ID: "a", Version: spec(1)}), false, nil, []string{"z"}},
		{"the old one goes last", endpoint("z", there("z", 1, 70)), wanted(plan.Version{ID: "a", Version: spec(1), Percentile: 90}), true,
			[]string{"create-version a", "move-traffic z 0", "move-traffic a 90 default", "delete-version z"}, nil},
		{"control is taken away", endpoint("a", there("a", 1, 0), control(there("b", 1, 0))), wanted(plan.Version{ID: "a", Version: spec(1)}, plan.Version{ID: "b", Version: spec(1)}), false,
			[]string{"move-traffic b treatment"}, nil},
		{"control moves", endpoint("a", there("a", 1, 0), control(there("b", 1, 0))), wanted(plan.Version{ID: "a", Version: spec(1), Control: true}, plan.Version{ID: "b", Version: spec(1)}), false,
			[]string{"move-traffic a control"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, problems := plan.Make(tt.current, tt.wanted, tt.prune)
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			if diff := cmp.Diff(tt.want, words(p)); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.kept, p.Kept); diff != "" {
				t.Errorf("kept (-want +got):\n%s", diff)
			}
		})
	}
	w := wanted(plan.Version{ID: "a", Version: spec(1)})
	w.Endpoint.AuthMode, w.Endpoint.Tags = deployv1.Endpoint_AUTH_MODE_TOKEN, map[string]string{"x": "y"}
	p, _ := plan.Make(endpoint("a", there("a", 1, 0)), w, false)
	want := []plan.Difference{{Field: "authMode", Before: `"key"`, After: `"token"`}, {Field: "tags.x", After: `"y"`}}
	if len(p.Steps) != 1 || cmp.Diff(want, p.Steps[0].Differences) != "" {
		t.Errorf("the endpoint's own part: %+v", p.Steps)
	}
	if _, problems := plan.Make(endpoint("z", there("z", 1, 30)), wanted(plan.Version{ID: "a", Version: spec(1), Percentile: 80}), false); len(problems) != 1 || !strings.Contains(problems[0], "add up to 110 (a 80, z 30)") {
		t.Errorf("too much: %v", problems)
	}
}

func control(v *deployv1.EndpointVersion) *deployv1.EndpointVersion {
	v.Type = deployv1.EndpointVersion_TYPE_CONTROL
	return v
}

// server is an endpoint with the rules of the deploy service.
type server struct{ e *deployv1.Endpoint }

func (s *server) find(id string) *deployv1.EndpointVersion {
	for _, v := range s.e.GetVersions() {
		if resourcename.Last(v.GetName()) == id {
			return v
		}
	}
	return nil
}

// do makes a step, or says which rule it breaks.
func (s *server) do(step plan.Step) error {
	switch step.Verb {
	case plan.CreateEndpoint, plan.CreateVersion:
		v := proto.CloneOf(step.Message)
		v.Name, v.Type, v.IsDefault = name+"/versions/"+step.Version, deployv1.EndpointVersion_TYPE_TREATMENT, step.Verb == plan.CreateEndpoint
		if v.GetIsDefault() {
			s.e = &deployv1.Endpoint{Name: name, AuthMode: deployv1.Endpoint_AUTH_MODE_KEY}
		}
		s.e.Versions = append(s.e.Versions, v)
	case plan.UpdateVersion, plan.MoveTraffic:
		v := s.find(step.Version)
		if slices.Contains(step.Mask, "is_default") && !step.Message.GetIsDefault() {
			return fmt.Errorf("%s stops being the default", step.Version)
		}
		to, from := v.ProtoReflect(), step.Message.ProtoReflect()
		for _, field := range step.Mask {
			fd := to.Descriptor().Fields().ByTextName(field)
			if from.Has(fd) {
				to.Set(fd, from.Get(fd))
			} else {
				to.Clear(fd)
			}
		}
		for _, other := range s.e.GetVersions() {
			if other != v && v.GetIsDefault() {
				other.IsDefault = false
			}
			if other != v && v.GetType() == deployv1.EndpointVersion_TYPE_CONTROL {
				other.Type = deployv1.EndpointVersion_TYPE_TREATMENT
			}
		}
	case plan.DeleteVersion:
		v := s.find(step.Version)
		if v.GetIsDefault() || v.GetTrafficPercentile() > 0 {
			return fmt.Errorf("%s goes with traffic of its own", step.Version)
		}
		s.e.Versions = slices.DeleteFunc(s.e.Versions, func(o *deployv1.EndpointVersion) bool { return o == v })
	case plan.UpdateEndpoint:
	}
	sum := 0.0
	for _, v := range s.e.GetVersions() {
		sum += v.GetTrafficPercentile()
		if v.GetIsDefault() {
			s.e.DefaultVersion = resourcename.Last(v.GetName())
		}
	}
	s.e.ControlVersion = ""
	for _, v := range s.e.GetVersions() {
		if v.GetType() == deployv1.EndpointVersion_TYPE_CONTROL {
			s.e.ControlVersion = resourcename.Last(v.GetName())
		}
	}
	if sum > 100 {
		return fmt.Errorf("the percentiles add up to %g", sum)
	}
	return nil
}

// Every plan can be carried out step by step, and afterwards there is nothing to do.
func TestPlansLeadToWhatIsWanted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string) []plan.Version {
			ids := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d", "f"}), 1, 4, rapid.ID[string]).Draw(t, label)
			byDefault, control := rapid.IntRange(-1, len(ids)-1).Draw(t, label+" default"), rapid.IntRange(-1, len(ids)-1).Draw(t, label+" control")
			left := 100
			var all []plan.Version
			for i, id := range ids {
				percentile := rapid.IntRange(0, left).Draw(t, label+" percentile")
				left -= percentile
				all = append(all, plan.Version{ID: id, Version: spec(float64(rapid.IntRange(1, 3).Draw(t, "cpu"))), Percentile: float64(percentile), Default: i == byDefault, Control: i == control})
			}
			return all
		}
		s := &server{}
		apply := func(w plan.Wanted, prune bool) {
			p, problems := plan.Make(s.e, w, prune)
			if len(problems) > 0 {
				if prune {
					t.Fatalf("problems: %v", problems)
				}
				return
			}
			for _, step := range p.Steps {
				if err := s.do(step); err != nil {
					t.Fatalf("%s %s of %v: %v", step.Verb, step.Version, words(p), err)
				}
			}
			if again, _ := plan.Make(s.e, w, prune); again.Changes() {
				t.Fatalf("after %v there is still %v", words(p), words(again))
			}
		}
		apply(wanted(draw("first")...), true)
		apply(wanted(draw("second")...), rapid.Bool().Draw(t, "prune"))
		apply(wanted(draw("third")...), true)
	})
}
