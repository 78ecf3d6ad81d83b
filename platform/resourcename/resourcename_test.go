package resourcename_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/resourcename"
)

func TestParse(t *testing.T) {
	p := resourcename.NewPattern("workspaces/{workspace}/endpoints/{endpoint}")
	tests := []struct {
		name string
		in   string
		want resourcename.Values
	}{
		{"whole", "workspaces/w/endpoints/e", resourcename.Values{"workspace": "w", "endpoint": "e"}},
		{"too short", "workspaces/w", nil},
		{"too long", "workspaces/w/endpoints/e/versions/v", nil},
		{"other collection", "workspaces/w/models/e", nil},
		{"empty id", "workspaces//endpoints/e", nil},
		{"empty", "", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := p.Parse(tt.in)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if (err != nil) != (tt.want == nil) {
				t.Errorf("err = %v", err)
			}
			if err != nil && apierr.KindOf(err) != apierr.InvalidArgument {
				t.Errorf("kind of %v", err)
			}
		})
	}
}

func TestFormatAndParseAgree(t *testing.T) {
	p := resourcename.NewPattern("workspaces/{workspace}/models/{model}/versions/{version}")
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.StringMatching(`[a-zA-Z0-9._-]{1,20}`)
		w, m, v := id.Draw(t, "w"), id.Draw(t, "m"), id.Draw(t, "v")
		name := resourcename.Format("workspaces", w, "models", m, "versions", v)
		got, err := p.Parse(name)
		if err != nil || got.Get("workspace") != w || got.Get("model") != m || got.Get("version") != v {
			t.Fatalf("%q: %v, %v", name, got, err)
		}
		if resourcename.Workspace(name) != w || resourcename.Last(name) != v {
			t.Fatalf("%q: workspace %q, last %q", name, resourcename.Workspace(name), resourcename.Last(name))
		}
	})
}
