package workspace

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fairlead/fairlead/platform/apierr"
)

func at(second int64) time.Time { return time.Unix(second, 0).UTC() }

func violatedFields(err error) []string {
	var fields []string
	if e, ok := errors.AsType[*apierr.Error](err); ok {
		for _, v := range e.Violations {
			fields = append(fields, v.Field)
		}
	}
	return fields
}

func manyTags(n int) map[string]string {
	tags := map[string]string{}
	for i := range n {
		tags[fmt.Sprint(i)] = ""
	}
	return tags
}

func TestNewChecksEverythingAtOnce(t *testing.T) {
	for name, tt := range map[string]struct {
		id    string
		attrs Attributes
		want  []string
	}{
		"good":            {"team-a", Attributes{Description: "d", Tags: map[string]string{"k": "v"}}, nil},
		"shortest":        {"abc", Attributes{}, nil},
		"longest":         {strings.Repeat("a", 32), Attributes{}, nil},
		"too short":       {"ab", Attributes{}, []string{"workspace_id"}},
		"too long":        {strings.Repeat("a", 33), Attributes{}, []string{"workspace_id"}},
		"upper case":      {"Team", Attributes{}, []string{"workspace_id"}},
		"digit first":     {"1abc", Attributes{}, []string{"workspace_id"}},
		"dash last":       {"abc-", Attributes{}, []string{"workspace_id"}},
		"the all of list": {"-", Attributes{}, []string{"workspace_id"}},
		"line end":        {"abc\n", Attributes{}, []string{"workspace_id"}},
		"1000 runes":      {"abc", Attributes{Description: strings.Repeat("é", 1000)}, nil},
		"everything wrong": {"A", Attributes{Description: strings.Repeat("x", 1001), Tags: manyTags(65)},
			[]string{"workspace_id", "workspace.description", "workspace.tags"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := New(tt.id, "u", tt.attrs, at(1))
			if diff := cmp.Diff(tt.want, violatedFields(err)); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}

func TestUpdate(t *testing.T) {
	text := func(s string) *string { return &s }
	tags := func(m map[string]string) *map[string]string { return &m }
	for name, tt := range map[string]struct {
		change  Change
		changed bool
		want    Attributes
		bad     []string
	}{
		"nothing asked":   {Change{}, false, Attributes{"old", map[string]string{"a": "1"}}, nil},
		"same values":     {Change{text("old"), tags(map[string]string{"a": "1"})}, false, Attributes{"old", map[string]string{"a": "1"}}, nil},
		"description":     {Change{Description: text("new")}, true, Attributes{"new", map[string]string{"a": "1"}}, nil},
		"clear tags":      {Change{Tags: tags(nil)}, true, Attributes{"old", nil}, nil},
		"bad description": {Change{Description: text(strings.Repeat("x", 1001))}, false, Attributes{"old", map[string]string{"a": "1"}}, []string{"workspace.description"}},
	} {
		t.Run(name, func(t *testing.T) {
			w, _, err := New("abc", "u", Attributes{"old", map[string]string{"a": "1"}}, at(1))
			if err != nil {
				t.Fatal(err)
			}
			got, f, changed, err := w.Update(tt.change, at(2))
			if diff := cmp.Diff(tt.bad, violatedFields(err)); diff != "" {
				t.Fatalf("violations (-want +got):\n%s", diff)
			}
			if changed != tt.changed {
				t.Fatalf("changed = %v, want %v", changed, tt.changed)
			}
			if diff := cmp.Diff(tt.want, Attributes{got.Description, got.Tags}); diff != "" {
				t.Errorf("attributes (-want +got):\n%s", diff)
			}
			if changed != (got.ETag() != w.ETag()) {
				t.Error("the etag must differ exactly when something changed")
			}
			if changed && (f.Verb != "updated" || f.Sequence != 2 || f.Generation != 2 || !got.UpdateTime.Equal(at(2))) {
				t.Errorf("fact = %+v", f)
			}
		})
	}
}

func TestFactsOfAWorkspaceCountWithoutGaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, f, err := New("abc", "u", Attributes{}, at(0))
		if err != nil || f.Sequence != 1 || f.Verb != "created" {
			t.Fatalf("New: %+v, %v", f, err)
		}
		next := int64(2)
		for i, d := range rapid.SliceOf(rapid.StringMatching(`[ab]?`)).Draw(t, "descriptions") {
			var changed bool
			w, f, changed, err = w.Update(Change{Description: &d}, at(int64(i)))
			if err != nil {
				t.Fatal(err)
			}
			if changed {
				if f.Sequence != next {
					t.Fatalf("sequence %d, want %d", f.Sequence, next)
				}
				next++
			}
		}
		if w.EventSequence != next-1 {
			t.Fatalf("EventSequence = %d, want %d", w.EventSequence, next-1)
		}
	})
}
