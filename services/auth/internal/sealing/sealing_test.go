package sealing

import (
	"bytes"
	"encoding/base64"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/services/auth/internal/endpointkey"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func secret(t *testing.T, text string) endpointkey.Secret {
	t.Helper()
	var bad apierr.Violations
	s := endpointkey.ParseSecret("key", text, &bad)
	if len(bad) > 0 {
		t.Fatal(bad)
	}
	return s
}

func TestSealedKeysOpenOverRestartsAndOnlyInTheirPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sealing.key")
	first, err := OpenFile(path, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	place := Place{Endpoint: "workspaces/default/endpoints/e", EndpointUID: "u", Slot: endpointkey.Primary}
	const text = "a-key-brought-by-the-user"
	sealed, err := first.Seal(t.Context(), place, secret(t, text))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed.Sealed, []byte(text)) {
		t.Fatal("the sealed key shows the key")
	}

	again, err := OpenFile(path, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	got, err := again.Open(t.Context(), place, sealed)
	if err != nil || got.Reveal() != text {
		t.Fatalf("Open after a restart: %v", err)
	}

	other, err := OpenFile(filepath.Join(t.TempDir(), "other.key"), quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	elsewhere, nextUID, secondary := place, place, place
	elsewhere.Endpoint, nextUID.EndpointUID, secondary.Slot = "workspaces/default/endpoints/f", "v", endpointkey.Secondary
	damaged := endpointkey.Key{Sealed: append([]byte("x"), sealed.Sealed...), Digest: sealed.Digest}
	swapped := endpointkey.Key{Sealed: sealed.Sealed, Digest: secret(t, strings.Repeat("o", 16)).Digest()}
	for name, tt := range map[string]struct {
		sealer *Sealer
		place  Place
		key    endpointkey.Key
	}{
		"another sealing key":  {other, place, sealed},
		"another endpoint":     {again, elsewhere, sealed},
		"another incarnation":  {again, nextUID, sealed},
		"the other slot":       {again, secondary, sealed},
		"damaged":              {again, place, damaged},
		"digest of other key":  {again, place, swapped},
		"nothing stored at it": {again, place, endpointkey.Key{}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tt.sealer.Open(t.Context(), tt.place, tt.key)
			if apierr.KindOf(err) != apierr.DataLoss || strings.Contains(err.Error(), text) {
				t.Errorf("err = %v, want DataLoss without the key", err)
			}
		})
	}
}

func TestOpenRefusesBadKeysWithoutRepeatingThem(t *testing.T) {
	const damaged = "c2hvcnQ="
	path := filepath.Join(t.TempDir(), "sealing.key")
	if err := os.WriteFile(path, []byte(damaged), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFile(path, quiet()); err == nil || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), damaged) {
		t.Errorf("OpenFile: %v, want an error that names the file and not its content", err)
	}
	if _, err := OpenURL(t.Context(), "base64key://"+damaged); err == nil || strings.Contains(err.Error(), damaged) {
		t.Errorf("OpenURL: %v, want an error without the key", err)
	}
}

func TestOpenURL(t *testing.T) {
	s, err := OpenURL(t.Context(), "base64key://"+base64.URLEncoding.EncodeToString(bytes.Repeat([]byte{1}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	place := Place{Endpoint: "e", EndpointUID: "u", Slot: endpointkey.Secondary}
	key, err := s.Seal(t.Context(), place, secret(t, strings.Repeat("k", 16)))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Open(t.Context(), place, key); err != nil || got.Reveal() != strings.Repeat("k", 16) {
		t.Errorf("Open: %v", err)
	}
}
