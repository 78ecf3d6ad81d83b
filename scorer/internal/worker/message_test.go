package worker

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRequestHeader(t *testing.T) {
	req := Request{
		ID: "1", Method: "POST", Query: "a=1", Host: "h:1",
		Header: http.Header{"X-Multi": {"a", "b"}, "X-Odd": {"caf\xc3\xa9"}},
	}
	for name, test := range map[string]struct {
		method  string
		headers bool
		want    scoreOrder
	}{
		"plain":   {"POST", false, scoreOrder{Type: "score", ID: "1", Method: "POST"}},
		"query":   {"GET", false, scoreOrder{Type: "score", ID: "1", Method: "GET", Query: "a=1"}},
		"headers": {"POST", true, scoreOrder{Type: "score", ID: "1", Method: "POST", Headers: map[string]string{"Host": "h:1", "X-Multi": "a,b", "X-Odd": "cafÃ©"}}},
	} {
		t.Run(name, func(t *testing.T) {
			req.Method = test.method
			b, err := req.header(test.headers)
			if err != nil {
				t.Fatal(err)
			}
			var got scoreOrder
			if err := json.Unmarshal(b, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
