package endpoint

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/cmd/internal/session"
	"github.com/fairlead/fairlead/platform/resourcename"
	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	resourcev1 "github.com/fairlead/fairlead/proto/gen/fairlead/resource/v1"
)

// document shows an endpoint: facts, versions, then why they are not healthy.
func document(e *deployv1.Endpoint) output.Document {
	return output.Document{
		Value: e,
		Names: []string{resourcename.Last(e.GetName())},
		Text: func(t *output.Text) {
			facts(t, e)
			if len(e.GetVersions()) == 0 {
				return
			}
			t.Blank()
			t.Table([]string{"VERSION", "STATE", "REPLICAS", "PERCENTILE", "SHARE", "ROLE", "MODELS"}, versionRows(e.GetVersions()))
			runtimes(t, e.GetVersions())
			replicas(t, e.GetVersions())
			scaling(t, e.GetVersions())
			causes(t, e.GetVersions())
			notices(t, e.GetVersions())
		},
	}
}

func facts(t *output.Text, e *deployv1.Endpoint) {
	address := e.GetScoringUri()
	if address == "" {
		address = e.GetScoringPath()
	}
	t.Facts(
		output.Fact{Name: "Endpoint", Value: resourcename.Last(e.GetName())},
		output.Fact{Name: "State", Value: output.Word(e.GetState(), "STATE_")},
		output.Fact{Name: "Cause", Value: cause(e.GetState(), e.GetStateMessage())},
		output.Fact{Name: "Scoring URI", Value: address},
		output.Fact{Name: "Needs", Value: needs(e.GetAuthMode())},
		output.Fact{Name: "Target", Value: resourcename.Last(e.GetComputeTarget())},
		output.Fact{Name: "Default", Value: e.GetDefaultVersion()},
		output.Fact{Name: "Control", Value: e.GetControlVersion()},
		output.Fact{Name: "Description", Value: e.GetDescription()},
		output.Fact{Name: "Tags", Value: output.Pairs(e.GetTags())},
		output.Fact{Name: "Properties", Value: output.Pairs(e.GetProperties())},
		output.Fact{Name: "Created", Value: output.Time(e.GetCreateTime())},
	)
}

func needs(mode deployv1.Endpoint_AuthMode) string {
	switch mode {
	case deployv1.Endpoint_AUTH_MODE_NONE:
		return "no key"
	case deployv1.Endpoint_AUTH_MODE_TOKEN:
		return "a token"
	case deployv1.Endpoint_AUTH_MODE_KEY, deployv1.Endpoint_AUTH_MODE_UNSPECIFIED:
	}
	return "a key"
}

func versionRows(versions []*deployv1.EndpointVersion) [][]string {
	rows := make([][]string, len(versions))
	for i, v := range versions {
		rows[i] = []string{
			resourcename.Last(v.GetName()), output.Word(v.GetState(), "STATE_"),
			fmt.Sprintf("%d/%d", v.GetReadyReplicas(), v.GetDesiredReplicas()),
			output.Number(v.GetTrafficPercentile()), output.Percent(v.GetTrafficShare()),
			role(v), output.OrDash(models(v)),
		}
	}
	return rows
}

func role(v *deployv1.EndpointVersion) string {
	roles := []string{}
	if v.GetIsDefault() {
		roles = append(roles, "default")
	}
	if v.GetType() == deployv1.EndpointVersion_TYPE_CONTROL {
		roles = append(roles, "control")
	} else {
		roles = append(roles, "treatment")
	}
	return strings.Join(roles, ", ")
}

// models writes the models as model:version.
func models(v *deployv1.EndpointVersion) string {
	ids := make([]string, len(v.GetModels()))
	for i, name := range v.GetModels() {
		ids[i] = shortName(name)
	}
	return strings.Join(ids, " ")
}

func causes(t *output.Text, versions []*deployv1.EndpointVersion) {
	for _, v := range versions {
		message := cause(v.GetState(), v.GetStateMessage())
		if message == "" {
			continue
		}
		t.Blank()
		t.Linef("%s: %s", resourcename.Last(v.GetName()), output.Clean(message))
		for _, c := range v.GetConditions() {
			if c.GetStatus() != resourcev1.Condition_STATUS_FALSE {
				continue
			}
			if c.GetMessage() != "" && c.GetMessage() != message {
				t.Linef("  %s: %s", c.GetType(), output.Clean(c.GetMessage()))
			}
			for _, line := range c.GetLogLines() {
				t.Linef("  | %s", output.Clean(line))
			}
		}
	}
}

// cause gives why something is not healthy.
func cause(state deployv1.State, message string) string {
	if state == deployv1.State_STATE_HEALTHY {
		return ""
	}
	return message
}

func versionDocument(v *deployv1.EndpointVersion) output.Document {
	return output.Document{
		Value: v,
		Names: []string{resourcename.Last(v.GetName())},
		Text: func(t *output.Text) {
			list := []*deployv1.EndpointVersion{v}
			t.Table([]string{"VERSION", "STATE", "REPLICAS", "PERCENTILE", "SHARE", "ROLE", "MODELS"}, versionRows(list))
			runtimes(t, list)
			replicas(t, list)
			scaling(t, list)
			causes(t, list)
			notices(t, list)
		},
	}
}

func listing(s *session.Session, endpoints []*deployv1.Endpoint) output.Document {
	d := output.Document{List: make([]proto.Message, len(endpoints)), Names: make([]string, len(endpoints))}
	rows := make([][]string, len(endpoints))
	for i, e := range endpoints {
		d.List[i] = e
		d.Names[i] = resourcename.Last(e.GetName())
		rows[i] = []string{
			d.Names[i], output.Word(e.GetState(), "STATE_"), shares(e), resourcename.Last(e.GetComputeTarget()),
			output.Age(e.GetCreateTime(), s.Now()),
		}
	}
	d.Text = func(t *output.Text) {
		if len(rows) == 0 {
			t.Linef("no endpoints; make one:  fairlead model deploy -n NAME -m MODEL:VERSION --ic FILE")
			return
		}
		t.Table([]string{"NAME", "STATE", "TRAFFIC", "TARGET", "AGE"}, rows)
	}
	return d
}

// shares writes how the traffic is given out now.
func shares(e *deployv1.Endpoint) string {
	parts := make([]string, 0, len(e.GetVersions()))
	for _, v := range e.GetVersions() {
		parts = append(parts, resourcename.Last(v.GetName())+" "+output.Percent(v.GetTrafficShare()))
	}
	return output.OrDash(strings.Join(parts, ", "))
}
