package snapshot

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	deployv1 "github.com/fairlead/fairlead/proto/gen/fairlead/deploy/v1"
	routerv1 "github.com/fairlead/fairlead/proto/gen/fairlead/router/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func of(endpoints ...string) *routerv1.Snapshot {
	s := &routerv1.Snapshot{}
	for _, e := range endpoints {
		s.Routes = append(s.Routes, &deployv1.Route{Endpoint: e})
	}
	return s
}

// run runs a saver until stop, which waits for its end.
func run(t *testing.T, path string) (s *Saver, stop func()) {
	s = NewSaver(path, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return s, func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

func await(t *testing.T, path string, want *routerv1.Snapshot) {
	t.Helper()
	var got *routerv1.Snapshot
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		var err error
		if got, _, err = Load(path); err != nil {
			t.Fatalf("Load: %v", err)
		}
		if proto.Equal(got, want) {
			return
		}
	}
	t.Fatalf("snapshot (-want +got):\n%s", cmp.Diff(want, got, protocmp.Transform()))
}

func TestSaves(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "routes")
	s, stop := run(t, path)
	s.Offer(of("old"))
	s.Offer(of("a", "b"))
	await(t, path, of("a", "b"))
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode = %v, %v; want 0600", info.Mode(), err)
	}
	s.Offer(of("last"))
	stop()
	await(t, path, of("last"))
	left, _ := os.ReadDir(filepath.Dir(path))
	if len(left) != 1 {
		t.Errorf("%d files in the folder, want 1", len(left))
	}
}

func TestTriesAgain(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "sub", "routes")
	if err := os.WriteFile(filepath.Join(folder, "sub"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := NewSaver(path, slog.New(slog.DiscardHandler))
	s.Offer(of("a"))
	if err := s.save(); err == nil {
		t.Fatal("saved into a folder that is a file")
	}
	os.Remove(filepath.Join(folder, "sub"))
	if err := s.save(); err != nil {
		t.Fatalf("second try: %v", err)
	}
	await(t, path, of("a"))
}

func TestLoad(t *testing.T) {
	good, err := Encode(of("a"))
	if err != nil {
		t.Fatal(err)
	}
	flipped := append([]byte{}, good...)
	flipped[len(flipped)-1] ^= 1
	tests := []struct {
		name    string
		content []byte
		ok      bool
	}{
		{"good", good, true},
		{"empty", nil, false},
		{"cut off", good[:len(good)-1], false},
		{"flipped bit", flipped, false},
		{"something else", []byte("hello, this is no snapshot at all, not even nearly"), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "routes")
			if err := os.WriteFile(path, test.content, 0o600); err != nil {
				t.Fatal(err)
			}
			_, ok, err := Load(path)
			if ok != test.ok || (err == nil) != test.ok {
				t.Errorf("Load: ok = %v, err = %v; want ok = %v", ok, err, test.ok)
			}
		})
	}
	if _, ok, err := Load(filepath.Join(t.TempDir(), "none")); ok || err != nil {
		t.Errorf("Load of no file: ok = %v, err = %v; want neither", ok, err)
	}
}

func FuzzDecode(f *testing.F) {
	good, _ := Encode(of("a"))
	f.Add(good)
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, content []byte) {
		if s, err := Decode(content); err == nil && s == nil {
			t.Error("neither a snapshot nor an error")
		}
	})
}
