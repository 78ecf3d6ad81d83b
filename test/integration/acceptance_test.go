package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/test/harness"
)

// oldScript loads a model as scripts of the old product do.
const oldScript = `
import json

import numpy
from azureml.core.model import Model
from sklearn.externals import joblib


def init():
    global model
    model = joblib.load(Model.get_model_path("sklearn_regression_model.pkl"))


def run(raw_data):
    data = numpy.array(json.loads(raw_data)["data"])
    return model.predict(data).tolist()
`

// TestAcceptance scores models that were pickled years ago; the answers are those
// that the old product's documentation prints, to the last digit.
func TestAcceptance(t *testing.T) {
	folder := harness.NeedAcceptance(t)
	harness.NeedPython(t, "sklearn", "joblib", "numpy")
	documented := readDocumented(t, filepath.Join(folder, "scoring", "diabetes.json"))
	harness.Each(t, func(t *testing.T, i *harness.Installation) {
		config := inferenceConfig(t, oldScript)
		const model = "sklearn_regression_model.pkl"
		for _, d := range []struct{ endpoint, file, model string }{
			{"diabetes", "ridge_diabetes.pkl", model + ":1"},
			{"regression", model, model + ":2"},
		} {
			i.Run("model", "register", "-n", model, "-p", filepath.Join(folder, "models", d.file), "--model-framework", "ScikitLearn")
			i.Run("model", "deploy", "-n", d.endpoint, "-m", d.model, "--ct", "local", "--ic", config, "--dc", deploymentConfig(t, nil))
		}
		wantNumbers(t, i, "diabetes", documented.Request, documented.Answer)
		wantNumbers(t, i, "diabetes", documented.SecondRequest, documented.SecondAnswer)
		wantNumbers(t, i, "regression", json.RawMessage(`{"data": [[1,2,3,4,5,6,7,8,9,10],[10,9,8,7,6,5,4,3,2,1]]}`),
			[]float64{11055.977245525679, 4503.079536107787})
	})
}

// documented is a request with its answer as the documentation prints them.
type documented struct {
	Request       json.RawMessage `json:"request"`
	Answer        []float64       `json:"answer"`
	SecondRequest json.RawMessage `json:"second_request"`
	SecondAnswer  []float64       `json:"second_answer"`
}

func readDocumented(t *testing.T, path string) documented {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var d documented
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func wantNumbers(t *testing.T, i *harness.Installation, endpoint string, request json.RawMessage, want []float64) {
	t.Helper()
	answer, err := i.Score(testContext(t), endpoint, keysOf(t, i, endpoint).GetPrimaryKey(), request, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []float64
	if err := answer.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s answers (-want +got):\n%s", endpoint, diff)
	}
}
