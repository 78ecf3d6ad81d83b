package worker

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRequestHeader(t *testing.T) {
	req := Request{
		ID: "1", Method: "POST", Query: "a=1", Host: "h:1",
		Header: http.Header{"X-Multi": {"a", "b"}, "X-Odd": {"caf\xc3\xa9"}, "Content-Type": {"text/x"}},
		Remote: "r:2", Local: "l:3",
	}
	headers := map[string]string{"Host": "h:1", "X-Multi": "a,b", "X-Odd": "cafÃ©", "Content-Type": "text/x"}
	for name, test := range map[string]struct {
		method string
		facts  Facts
		want   scoreOrder
	}{
		"plain":   {"POST", Facts{Form: FormText}, scoreOrder{}},
		"query":   {"GET", Facts{Form: FormText}, scoreOrder{Method: "GET", Query: "a=1"}},
		"headers": {"POST", Facts{RequestHeaders: true}, scoreOrder{Headers: headers}},
		"schema":  {"POST", Facts{Form: FormSchema}, scoreOrder{ContentType: "text/x"}},
		"raw":     {"POST", Facts{Form: FormRaw}, scoreOrder{Headers: headers, Query: "a=1", Remote: "r:2", Address: "l:3"}},
	} {
		t.Run(name, func(t *testing.T) {
			req.Method = test.method
			b, err := req.header(test.facts)
			if err != nil {
				t.Fatal(err)
			}
			const start = "\x03\x011"
			if !strings.HasPrefix(string(b), start) {
				t.Fatalf("%q must start with kind, length of the id, id", b)
			}
			var got scoreOrder
			if err := parseFields(b[len(start):], &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
