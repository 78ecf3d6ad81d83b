package tracecontext

import (
	"regexp"
	"testing"
)

func TestValid(t *testing.T) {
	tests := []struct {
		name, header string
		want         bool
	}{
		{"the format's example", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true},
		{"empty", "", false},
		{"upper case", "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false},
		{"zero trace", "00-00000000000000000000000000000000-00f067aa0ba902b7-01", false},
		{"zero parent", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", false},
		{"version ff", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false},
		{"version 00 with more", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x", false},
		{"later version with more", "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x", true},
		{"later version, no dash", "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x", false},
		{"dash misplaced", "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := Valid(test.header); got != test.want {
				t.Errorf("Valid = %v, want %v", got, test.want)
			}
		})
	}
}

func TestNewIsValid(t *testing.T) {
	seen := map[string]bool{}
	for range 1_000 {
		header := New()
		if !Valid(header) || seen[header] {
			t.Fatalf("New = %q: not valid, or not new", header)
		}
		seen[header] = true
	}
}

func FuzzValid(f *testing.F) {
	f.Add("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	f.Add("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x")
	shape := regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-|$)`)
	f.Fuzz(func(t *testing.T, header string) {
		if Valid(header) && !shape.MatchString(header) {
			t.Errorf("%q is said to be valid", header)
		}
	})
}
