package scorer_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/scorer"
	"github.com/fairlead/fairlead/scorer/internal/pythontest"
)

func BenchmarkScore(b *testing.B) {
	cfg := scorer.DefaultConfig()
	cfg.EntryScript = pythontest.Script(b, "import json\ndef init(): pass\ndef run(data): return json.loads(data)")
	r := startReady(b, cfg)
	for name, body := range map[string]string{"small": `{"data": [1, 2, 3]}`, "100KB": `"` + strings.Repeat("x", 100<<10) + `"`} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				res, err := r.client.Post(r.url+"/score", "application/json", strings.NewReader(body))
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
				if res.StatusCode != http.StatusOK {
					b.Fatal(res.Status)
				}
			}
		})
	}
}
