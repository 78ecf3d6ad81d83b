package keyring

import (
	"crypto/sha256"
	"testing"
)

func digest(key string) []byte {
	sum := sha256.Sum256([]byte(key))
	return sum[:]
}

func TestOpens(t *testing.T) {
	ring := New([][]byte{digest("primary-key-0001"), digest("secondary-key-02"), []byte("short")})
	if ring.Len() != 2 {
		t.Errorf("Len = %d, want 2: what is no digest does not count", ring.Len())
	}
	tests := []struct {
		name, key string
		ring      Ring
		want      bool
	}{
		{"primary", "primary-key-0001", ring, true},
		{"secondary", "secondary-key-02", ring, true},
		{"other", "primary-key-0002", ring, false},
		{"prefix", "primary-key-000", ring, false},
		{"the digest itself", string(digest("primary-key-0001")), ring, false},
		{"empty", "", New([][]byte{digest("")}), false},
		{"no keys", "primary-key-0001", New(nil), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := test.ring.Opens(test.key); got != test.want {
				t.Errorf("Opens = %v, want %v", got, test.want)
			}
		})
	}
}

func BenchmarkOpens(b *testing.B) {
	ring := New([][]byte{digest("primary-key-0001"), digest("secondary-key-02")})
	b.ReportAllocs()
	for b.Loop() {
		ring.Opens("secondary-key-02")
	}
}
