package jetstream

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/fairlead/fairlead/platform/store"
)

func TestKeysRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := string(rapid.SliceOfN(rapid.Byte(), 1, 60).Draw(t, "key"))
		if store.ValidateKey(key) != nil {
			t.Skip("no key")
		}
		s := subjects{"svc"}
		subject := s.key(key)
		if strings.ContainsAny(subject[len("$KV.svc."):], " *>\t\r\n\x00") || strings.Contains(subject, "..") {
			t.Fatalf("key %q gives the subject %q", key, subject)
		}
		if got, ok := s.parse(subject); !ok || got != key {
			t.Fatalf("key %q comes back as %q, %v", key, got, ok)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"$KV.svc.a.b", "$KV.svc.a=2Eb", "$KV.svc.=zz", "$KV.svc.=41", "$KV.other.a", "$KV.svc.a..b", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, subject string) {
		s := subjects{"svc"}
		if key, ok := s.parse(subject); ok && s.key(key) != subject {
			t.Errorf("subject %q gives key %q, which has the subject %q", subject, key, s.key(key))
		}
	})
}
