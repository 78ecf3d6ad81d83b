package scorer_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/scorer"
	"github.com/fairlead/fairlead/scorer/internal/pythontest"
)

// scikitLearnModel makes a folder with a classifier of two columns: whether their sum is above 1.5.
func scikitLearnModel(t *testing.T) string {
	t.Helper()
	pythontest.Needs(t, "sklearn")
	folder := t.TempDir()
	program := `
import sys, joblib
from sklearn.linear_model import LogisticRegression
rows = [[a / 4, b / 4] for a in range(9) for b in range(9)]
joblib.dump(LogisticRegression(C=100).fit(rows, [int(sum(r) > 1.5) for r in rows]), sys.argv[1])
`
	if out, err := exec.CommandContext(t.Context(), pythontest.Interpreter(t), "-c", program, filepath.Join(folder, "model.joblib")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return folder
}

func TestScikitLearn(t *testing.T) {
	folder := scikitLearnModel(t)
	cfg := scorer.DefaultConfig()
	cfg.Runtime, cfg.ModelDir = "scikit-learn", folder
	r := startReady(t, cfg)
	for body, want := range map[string]struct {
		code int
		text string
	}{
		`{"data": [[0, 0], [2, 1]], "method": "predict"}`: {200, `{"predict": [0, 1]}`},
		`{"data": [[0, 0]]}`:                              {200, `{"predict_proba": [[`},
		`{"data": []}`:                                    {200, `{"predict_proba": []}`},
		`{"data": [[1, 2, 3]]}`:                           {400, `row 0 of data has 3 values, the model takes 2`},
		`{"data": [[1, "a"]]}`:                            {400, `no numbers`},
		`{"data": [[1, 2]], "method": "fit"}`:             {400, `it must be predict or predict_proba`},
		`{}`:                                              {400, `A value is not provided for the 'data' parameter.`},
	} {
		res, err := r.client.Post(r.url+"/score", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if got := drain(res); res.StatusCode != want.code || !strings.Contains(got, want.text) {
			t.Errorf("%s: got %d %s, want %d %s", body, res.StatusCode, got, want.code, want.text)
		}
	}
	if _, body := r.ask(t, "GET", "/-/status", ""); !strings.Contains(body, `"runtime":"scikit-learn"`) {
		t.Errorf("status %s", body)
	}
	if _, body := r.ask(t, "GET", "/swagger.json", ""); !strings.Contains(body, "predict_proba") || !strings.Contains(body, "numpy.ndarray") {
		t.Errorf("swagger %s", body)
	}
	request := `{"inputs": [{"name": "data", "datatype": "FP64", "shape": [1, 2], "data": [2, 1]}]}`
	if res, body := r.ask(t, "POST", "/v2/models/any/infer", request); res.StatusCode != 200 || !strings.Contains(body, `"shape":[1,2]`) {
		t.Errorf("/v2: %d %s", res.StatusCode, body)
	}
}

func TestScikitLearnThatCannotStart(t *testing.T) {
	empty, none := t.TempDir(), scikitLearnModel(t)
	if err := os.WriteFile(filepath.Join(none, "second.pkl"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	broken := t.TempDir()
	if err := os.WriteFile(filepath.Join(broken, "model.pkl"), []byte("no pickle"), 0o600); err != nil {
		t.Fatal(err)
	}
	for folder, text := range map[string]string{
		empty: "there is none", none: "there is model.joblib, second.pkl", broken: "model.pkl can't be loaded as a scikit-learn model",
	} {
		cfg := scorer.DefaultConfig()
		cfg.Runtime, cfg.ModelDir = "scikit-learn", folder
		r := start(t, cfg)
		<-r.ended
		var failed *scorer.StartError
		if !errors.As(r.err, &failed) || failed.Reason != "ModelError" || !strings.Contains(r.err.Error(), text) {
			t.Errorf("got %v, want %q", r.err, text)
		}
	}
}
