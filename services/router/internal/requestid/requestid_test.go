package requestid

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The table of the old product's container: A = x-request-id, C =
// x-ms-client-request-id, M = x-ms-request-id, u = new UUID.
func TestFrom(t *testing.T) {
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	tests := []struct {
		in   string
		want IDs
	}{
		{"", IDs{"u", "u", ""}},
		{"A", IDs{"A", "A", ""}},
		{"C", IDs{"u", "C", "C"}},
		{"M", IDs{"u", "M", "M"}},
		{"CM", IDs{"u", "M", "C"}},
		{"AM", IDs{"A", "M", "M"}},
		{"AC", IDs{"A", "C", "C"}},
		{"ACM", IDs{"A", "M", "C"}},
	}
	name := map[rune]string{'A': HeaderRequest, 'C': HeaderMSClient, 'M': HeaderMSRequest}
	for _, test := range tests {
		t.Run("in "+test.in, func(t *testing.T) {
			header := http.Header{}
			for _, c := range test.in {
				header.Set(name[c], string(c))
			}
			got, tooLong := From(header)
			if tooLong != "" {
				t.Fatalf("too long: %s", tooLong)
			}
			// The container, given what is passed on, comes to the same ids.
			got.PassOn(header)
			if again, _ := From(header); again != got {
				t.Errorf("the container has %+v, the router %+v", again, got)
			}
			u := got.Request
			for _, id := range []*string{&got.Request, &got.MSRequest} {
				if *id == u && uuid.MatchString(u) {
					*id = "u"
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("ids (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTooLong(t *testing.T) {
	tests := []struct{ header, want string }{
		{HeaderRequest, "x-request-id must not exceed 100 characters"},
		{HeaderMSRequest, "x-ms-request-id and x-ms-client-request-id must not exceed 100 characters"},
		{HeaderMSClient, "x-ms-request-id and x-ms-client-request-id must not exceed 100 characters"},
	}
	for _, test := range tests {
		header := http.Header{}
		header.Set(test.header, strings.Repeat("x", 100))
		if _, got := From(header); got != "" {
			t.Errorf("%s of 100 characters: %s", test.header, got)
		}
		header.Set(test.header, strings.Repeat("x", 101))
		if _, got := From(header); got != test.want {
			t.Errorf("%s of 101 characters: %q, want %q", test.header, got, test.want)
		}
	}
}
