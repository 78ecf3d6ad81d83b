package endpointkey

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fairlead/fairlead/platform/apierr"
)

const endpoint = "workspaces/default/endpoints/diabetes"

func at(second int64) time.Time { return time.Unix(second, 0).UTC() }

func key(text string) Key {
	return Key{Sealed: []byte("sealed:" + text), Digest: Secret{text: text}.Digest()}
}

func TestNewNeedsTwoDifferentKeys(t *testing.T) {
	if _, _, err := New(endpoint, "u", key("a"), key("a"), at(1)); apierr.KindOf(err) != apierr.InvalidArgument {
		t.Errorf("two equal keys: err = %v, want InvalidArgument", err)
	}
	k, f, err := New(endpoint, "u", key("a"), key("b"), at(1))
	if err != nil || f.Verb != "created" || f.Sequence != 1 || f.Workspace != "default" || f.Subject != endpoint {
		t.Errorf("New = %+v, %+v, %v", k, f, err)
	}
}

func TestRegenerate(t *testing.T) {
	for name, tt := range map[string]struct {
		slot    Slot
		next    string
		want    [2]string
		changed bool
		kind    apierr.Kind
	}{
		"primary":                {Primary, "c", [2]string{"c", "b"}, true, 0},
		"secondary":              {Secondary, "c", [2]string{"a", "c"}, true, 0},
		"same again":             {Primary, "a", [2]string{"a", "b"}, false, 0},
		"equal to the secondary": {Primary, "b", [2]string{"a", "b"}, false, apierr.InvalidArgument},
		"equal to the primary":   {Secondary, "a", [2]string{"a", "b"}, false, apierr.InvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			k, _, err := New(endpoint, "u", key("a"), key("b"), at(1))
			if err != nil {
				t.Fatal(err)
			}
			got, f, changed, err := k.Regenerate(tt.slot, key(tt.next), at(2))
			if changed != tt.changed || (err != nil) != (tt.kind != 0) || err != nil && apierr.KindOf(err) != tt.kind {
				t.Fatalf("changed = %v, err = %v; want %v, kind %v", changed, err, tt.changed, tt.kind)
			}
			if diff := cmp.Diff([]Key{key(tt.want[0]), key(tt.want[1])}, []Key{got.Primary, got.Secondary}); diff != "" {
				t.Errorf("keys (-want +got):\n%s", diff)
			}
			if changed && (f.Sequence != 2 || f.Verb != "regenerated" || f.Details["keyType"] != string(tt.slot)) {
				t.Errorf("fact = %+v", f)
			}
		})
	}
}

func TestKeysAlwaysDifferAndFactsCount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k, _, err := New(endpoint, "u", key("a"), key("b"), at(0))
		if err != nil {
			t.Fatal(err)
		}
		sequence := int64(1)
		steps := rapid.IntRange(0, 20).Draw(t, "steps")
		for range steps {
			slot := rapid.SampledFrom([]Slot{Primary, Secondary}).Draw(t, "slot")
			before := k
			next, f, changed, err := k.Regenerate(slot, key(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key")), at(1))
			k = next
			if changed {
				sequence++
				if f.Sequence != sequence {
					t.Fatalf("sequence = %d, want %d", f.Sequence, sequence)
				}
			} else if diff := cmp.Diff(before, k); diff != "" {
				t.Fatalf("changed without saying so (err %v):\n%s", err, diff)
			}
			if k.Primary.Digest == k.Secondary.Digest {
				t.Fatal("the keys are equal")
			}
		}
		if f := k.Delete(at(2)); f.Sequence != sequence+1 {
			t.Fatalf("deleted has sequence %d, want %d", f.Sequence, sequence+1)
		}
	})
}

func TestSecretIsNeverShown(t *testing.T) {
	const text = "hunter2hunter2hunter2"
	var bad apierr.Violations
	s := ParseSecret("f", text, &bad)
	if len(bad) > 0 || s.Reveal() != text {
		t.Fatalf("ParseSecret: %v", bad)
	}
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	logger.Info("x", "secret", s, "in struct", struct{ S Secret }{s})
	asJSON, err := json.Marshal(map[string]any{"s": s, "p": &s})
	if err != nil {
		t.Fatal(err)
	}
	shown := fmt.Sprintf("%v %+v %#v %s %q %x %v", s, s, s, s, s, s, struct{ S Secret }{s}) + log.String() + string(asJSON)
	if strings.Contains(shown, text) || strings.Contains(shown, fmt.Sprintf("%x", text)) {
		t.Errorf("the key shows: %s", shown)
	}
}

func TestParseSecret(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		ok   bool
	}{
		"shortest":   {strings.Repeat("k", 16), true},
		"longest":    {strings.Repeat("~", 256), true},
		"too short":  {strings.Repeat("k", 15), false},
		"too long":   {strings.Repeat("k", 257), false},
		"space":      {"key with a space in", false},
		"line end":   {strings.Repeat("k", 16) + "\n", false},
		"not ASCII":  {strings.Repeat("é", 16), false},
		"empty text": {"", false},
	} {
		t.Run(name, func(t *testing.T) {
			var bad apierr.Violations
			s := ParseSecret("primary_key", tt.text, &bad)
			if (len(bad) == 0) != tt.ok || tt.ok && s.Reveal() != tt.text {
				t.Errorf("violations %v, want ok %v", bad, tt.ok)
			}
			for _, v := range bad {
				if tt.text != "" && strings.Contains(v.Description, tt.text) {
					t.Error("the violation repeats the key")
				}
			}
		})
	}
}

func TestGeneratedSecretsDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 50 {
		s, err := GenerateSecret()
		if err != nil {
			t.Fatal(err)
		}
		var bad apierr.Violations
		ParseSecret("f", s.Reveal(), &bad)
		if len(bad) > 0 || seen[s.Reveal()] {
			t.Fatalf("bad or repeated random key: %v", bad)
		}
		seen[s.Reveal()] = true
	}
}

func TestKeysSurviveEncoding(t *testing.T) {
	k, _, err := New(endpoint, "u", key("a"), key("b"), at(1))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	var back Keys
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(k, back); diff != "" {
		t.Errorf("after a round trip (-want +got):\n%s", diff)
	}
	for _, damaged := range []string{`"abc"`, `"` + strings.Repeat("z", 64) + `"`} {
		if err := json.Unmarshal([]byte(damaged), &Digest{}); err == nil {
			t.Errorf("%s was read as a digest", damaged)
		}
	}
}
