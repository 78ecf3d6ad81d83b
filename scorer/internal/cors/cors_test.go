package cors_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/scorer/internal/cors"
)

func TestApply(t *testing.T) {
	const list = "https://b.example, https://a.example"
	preflight := []string{"Access-Control-Request-Method: POST", "Access-Control-Request-Headers: x-b,  x-a"}
	for name, test := range map[string]struct {
		list, method, origin string
		headers              []string
		want                 http.Header
	}{
		"none":              {"", "GET", "https://a.example", nil, http.Header{}},
		"all":               {"*", "GET", "https://a.example", nil, http.Header{"Access-Control-Allow-Origin": {"https://a.example"}, "Vary": {"Origin"}}},
		"all, no origin":    {"*", "GET", "", nil, http.Header{"Access-Control-Allow-Origin": {"*"}}},
		"listed":            {list, "GET", "https://B.example", nil, http.Header{"Access-Control-Allow-Origin": {"https://B.example"}, "Vary": {"Origin"}}},
		"listed, no origin": {list, "GET", "", nil, http.Header{"Access-Control-Allow-Origin": {"https://a.example"}, "Vary": {"Origin"}}},
		"not listed":        {list, "GET", "https://c.example", nil, http.Header{}},
		"only one":          {"https://a.example", "POST", "https://a.example", nil, http.Header{"Access-Control-Allow-Origin": {"https://a.example"}}},
		"other scheme":      {"https://a.example", "POST", "http://a.example", nil, http.Header{}},
		"without scheme": {"www.x.example", "GET", "https://www.x.example", nil, http.Header{
			"Access-Control-Allow-Origin": {"https://www.x.example"}, "Vary": {"Origin"},
		}},
		"without scheme, other host": {"www.x.example", "GET", "https://evil-www.x.example", nil, http.Header{}},
		"subdomains":                 {"https://*.x.example", "GET", "https://a.x.example", nil, http.Header{"Access-Control-Allow-Origin": {"https://a.x.example"}, "Vary": {"Origin"}}},
		"subdomains, not below":      {"*.x.example", "GET", "https://a.x.example.evil", nil, http.Header{}},
		"pattern":                    {`https://[ab]\.example$`, "GET", "https://b.example", nil, http.Header{"Access-Control-Allow-Origin": {"https://b.example"}, "Vary": {"Origin"}}},
		"preflight": {"*", "OPTIONS", "http://a.example", preflight, http.Header{
			"Access-Control-Allow-Origin": {"http://a.example"}, "Access-Control-Allow-Headers": {"x-a, x-b"},
			"Access-Control-Allow-Methods": {"GET, POST"}, "Vary": {"Origin"},
		}},
		"preflight of another method": {"*", "OPTIONS", "http://a.example", []string{"Access-Control-Request-Method: PUT"}, http.Header{
			"Access-Control-Allow-Origin": {"http://a.example"}, "Vary": {"Origin"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := cors.Parse(test.list)
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest(test.method, "/score", nil)
			if test.origin != "" {
				r.Header.Set("Origin", test.origin)
			}
			for _, h := range test.headers {
				name, value, _ := strings.Cut(h, ": ")
				r.Header.Set(name, value)
			}
			got := http.Header{}
			p.Apply(got, r)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	(*cors.Policy)(nil).Apply(nil, nil)
}

func TestParseTellsAllProblems(t *testing.T) {
	_, err := cors.Parse("https://a(, https://ok.example, https://b[")
	if err == nil || strings.Count(err.Error(), "can't be understood") != 2 {
		t.Errorf("got %v", err)
	}
}
