package python_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/fairlead/fairlead/scorer/internal/python"
	"github.com/fairlead/fairlead/scorer/internal/pythontest"
)

// evaluate runs Python code as a script in a worker would see it: shims last on the path, aliases installed.
func evaluate(t *testing.T, code string, env ...string) string {
	t.Helper()
	dir := t.TempDir()
	if err := python.Unpack(dir); err != nil {
		t.Fatal(err)
	}
	prelude := "import sys\nsys.dont_write_bytecode = True\nsys.path.insert(0, sys.argv[1])\nfrom fairlead_worker import aliases, forms\naliases.install()\n" +
		"del sys.path[0]\nsys.path.append(sys.argv[1] + '/shims')\n"
	cmd := exec.Command(pythontest.Interpreter(t), "-c", prelude+code, dir)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return lastLine(string(out))
	}
	return strings.TrimSpace(string(out))
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndex(s, "\n")+1:]
}

func TestUnpackWritesOnlyPython(t *testing.T) {
	dir := t.TempDir()
	for range 2 { // over what an earlier run left
		if err := python.Unpack(dir); err != nil {
			t.Fatal(err)
		}
	}
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && filepath.Ext(path) != ".py" {
			t.Errorf("%s is no Python file", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, python.Worker)); err != nil {
		t.Error(err)
	}
}

func TestGetModelPath(t *testing.T) {
	root := filepath.Join(t.TempDir(), "azureml-models")
	for _, file := range []string{"single/2/m.pkl", "single/10/m.pkl", "single/10/.hidden", "folder/1/a.bin", "folder/1/b.bin", "nested/1/model/a.bin", "named/v2/m.pkl"} {
		path := filepath.Join(root, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct{ call, want string }{
		"highest version, single file": {"'single'", root + "/single/10/m.pkl"},
		"given version":                {"'single', 2", root + "/single/2/m.pkl"},
		"given as text":                {"model_name='single', version='2'", root + "/single/2/m.pkl"},
		"with a workspace":             {"'single', None, None", root + "/single/10/m.pkl"},
		"several files":                {"'folder'", root + "/folder/1"},
		"one folder":                   {"'nested'", root + "/nested/1/model"},
		"version that is no number":    {"'named'", root + "/named/v2/m.pkl"},
		"unknown model":                {"'none'", "FileNotFoundError: model 'none' is not deployed here; there is: folder, named, nested, single"},
		"unknown version":              {"'single', 3", "FileNotFoundError: version 3 of model 'single' is not deployed here; there is: 2, 10"},
	} {
		t.Run(name, func(t *testing.T) {
			code := "from azureml.core.model import Model\nprint(Model.get_model_path(" + test.call + "))"
			if got := evaluate(t, code, "FAIRLEAD_MODELS_ROOT="+root); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
	t.Run("no models", func(t *testing.T) {
		got := evaluate(t, "from azureml.core import Model\nModel.get_model_path('m')", "FAIRLEAD_MODELS_ROOT=")
		if want := "FileNotFoundError: model 'm' can't be found: this deployment has no models"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

const collecting = `
from azureml.monitoring import ModelDataCollector
def read():
    import glob, os
    root = os.environ["FAIRLEAD_MODEL_DATA"]
    found = sorted(glob.glob(root + "/**/*.csv", recursive=True))
    day = __import__("datetime").datetime.now(__import__("datetime").timezone.utc).strftime("%Y/%m/%d")
    lines = []
    for f in found:
        lines.append(f[len(root):].replace(day, "DAY"))
        for line in open(f):
            parts = line.strip().split(",")
            lines.append(",".join(["T" if p[4:5] == "-" and "T" in p else p for p in parts]))
    print("|".join(lines))
`

func TestModelDataIsCollected(t *testing.T) {
	const header = "$aml_dc_correlation_id,$aml_dc_scoring_timestamp"
	for name, test := range map[string]struct{ code, want string }{
		"rows of numbers":        {"ModelDataCollector('m', designation='inputs', feature_names=['a', 'b'], model_version=3).collect([[1, 2.5], [3, 4]], 'x')", "/m/3/inputs/DAY/data.csv|" + header + ",a,b|x,T,1,2.5|x,T,3,4"},
		"one row, without names": {"ModelDataCollector('m', 'inputs').collect([7, 8], 'x')", "/m/unversioned/inputs/DAY/data.csv|" + header + ",0,1|x,T,7,8"},
		"one value":              {"ModelDataCollector('m', identifier='p').collect('yes', 'x')", "/m/unversioned/p/DAY/data.csv|" + header + ",0|x,T,yes"},
		"an object":              {"ModelDataCollector('m').collect({'a': 1, 'b': 'u'}, 'x')", "/m/unversioned/default/DAY/data.csv|" + header + ",a,b|x,T,1,u"},
		"nobody leaves":          {"ModelDataCollector('../../etc', designation='..').collect([1], 'x')", "/_.._.._etc/unversioned/_../DAY/data.csv|" + header + ",0|x,T,1"},
		"columns that change": {"c = ModelDataCollector('m')\nc.collect([1], 'x')\nc.collect([1, 2], 'y')\nc.collect([3], 'z')",
			"/m/unversioned/default/DAY/data-d53443db.csv|" + header + ",0,1|y,T,1,2|/m/unversioned/default/DAY/data.csv|" + header + ",0|x,T,1|z,T,3"},
		"a line that was cut off": {"c = ModelDataCollector('m')\nc.collect([1], 'x')\nimport glob, os\nf = glob.glob(os.environ['FAIRLEAD_MODEL_DATA'] + '/**/data.csv', recursive=True)[0]\nopen(f, 'a').write('half,')\nc.collect([2], 'y')",
			"/m/unversioned/default/DAY/data.csv|" + header + ",0|x,T,1|y,T,2"},
		"too much for a day": {"import azureml.monitoring.collector as m, sys\nsys.stderr = sys.stdout\nm.MOST_BYTES = 100\nc = ModelDataCollector('m')\nfor i in range(3): c.collect(['z' * 30], 'x')",
			"model data of m (default) is dropped, 1 times so far: OSError: the file of the day is full: it has 0 bytes, at most 100 are possible\n/m/unversioned/default/DAY/data.csv"},
	} {
		t.Run(name, func(t *testing.T) {
			got := evaluate(t, collecting+test.code+"\nread()", "AML_MODEL_DC_STORAGE_ENABLED=true", "FAIRLEAD_MODEL_DATA="+t.TempDir())
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
	t.Run("off", func(t *testing.T) {
		folder := t.TempDir()
		got := evaluate(t, collecting+"for i in range(3): ModelDataCollector('m').collect([1])", "AML_MODEL_DC_STORAGE_ENABLED=false", "FAIRLEAD_MODEL_DATA="+folder)
		if left, err := os.ReadDir(folder); got != "model data is not collected: collect_model_data of this version is off" || err != nil || len(left) != 0 {
			t.Errorf("said %q and wrote %v", got, left)
		}
	})
	t.Run("by many at once", func(t *testing.T) {
		code := "import os\nfor i in range(4):\n  if os.fork() == 0:\n    c = ModelDataCollector('m')\n    for j in range(200): c.collect([i, j], 'x')\n    os._exit(0)\nfor i in range(4): os.wait()\n"
		got := strings.Split(evaluate(t, collecting+code+"read()", "AML_MODEL_DC_STORAGE_ENABLED=true", "FAIRLEAD_MODEL_DATA="+t.TempDir()), "|")
		if len(got) != 802 || got[1] != header+",0,1" || got[2] == got[1] {
			t.Errorf("%d lines, the first are %v", len(got), got[:min(4, len(got))])
		}
	})
}

func TestAliases(t *testing.T) {
	pythontest.Needs(t, "sklearn")
	for name, test := range map[string]struct{ code, want string }{
		"private module":      {"import sklearn.linear_model.ridge as m\nprint(m.__name__, m.__spec__.name)", "sklearn.linear_model._ridge sklearn.linear_model._ridge"},
		"base":                {"from sklearn.linear_model.base import LinearRegression\nprint(LinearRegression.__name__)", "LinearRegression"},
		"renamed":             {"from sklearn.tree.tree import DecisionTreeClassifier\nprint(DecisionTreeClassifier.__module__)", "sklearn.tree._classes"},
		"trailing underscore": {"from sklearn.cluster.dbscan_ import DBSCAN\nprint(DBSCAN.__module__)", "sklearn.cluster._dbscan"},
		"joblib":              {"from sklearn.externals import joblib\nimport joblib as real\nprint(joblib is real)", "True"},
		"below joblib":        {"from sklearn.externals.joblib.numpy_pickle import NumpyArrayWrapper as W\nprint(W.__module__)", "joblib.numpy_pickle"},
		"real modules stay":   {"import sklearn.linear_model\nprint(sklearn.linear_model.__spec__.loader.__class__.__name__)", "SourceFileLoader"},
		"nothing there":       {"import sklearn.linear_model.nothing", "ModuleNotFoundError: No module named 'sklearn.linear_model.nothing'"},
		"nothing at the top":  {"import sklearn.nothing", "ModuleNotFoundError: No module named 'sklearn.nothing'"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := evaluate(t, test.code); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestRealPackagesWin(t *testing.T) {
	installed := t.TempDir()
	for name, text := range map[string]string{
		"azureml/core/__init__.py":             "",
		"azureml/core/model.py":                "class Model: real = True",
		"azureml_inference_server_http/api.py": "",
	} {
		path := filepath.Join(installed, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	code := "from azureml.core.model import Model\nfrom azureml.contrib import services\nprint(Model.real, '/shims/' in services.__file__)"
	if got := evaluate(t, code, "PYTHONPATH="+installed); got != "True True" {
		t.Errorf("got %s: the real azureml.core must win, and what it lacks must come from the shims", got)
	}
}

func TestQueryJSON(t *testing.T) {
	for query, want := range map[string]string{
		"":                         `{}`,
		"a=1&b=x&c=true&d=null":    `{"a": 1, "b": "x", "c": true, "d": null}`,
		"e=1.50&g=&h=01&a=1&a=2":   `{"e": 1.5, "g": "", "h": "01", "a": [1, 2]}`,
		"f=%7B%22z%22%3A1%7D&n":    `{"f": {"z": 1}, "n": ""}`,
		"s=a+b%20c&u=%C3%A9&x=%FF": `{"s": "a b c", "u": "\u00e9", "x": "\ufffd"}`,
		"&&a==1&=2&a;b=NaN":        `{"a": "=1", "": 2, "a;b": NaN}`,
	} {
		t.Run(query, func(t *testing.T) {
			if got := evaluate(t, "import json\nprint(json.dumps(forms.query_values("+strconv.Quote(query)+")))"); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestAMLResponse(t *testing.T) {
	for name, test := range map[string]struct{ code, want string }{
		"headers in any case": {"r.headers['content-type'] = 'text/x'\nprint(r.content_type, len(r.headers))", "text/x 2"},
		"body":                {"print(r.get_data(), r.get_data(as_text=True), r.is_streamed)", "b'x' x False"},
		"new body":            {"r.data = 'y'\nprint(r.data)", "b'y'"},
		"json":                {"print(AMLResponse({'a': 1}, 200, json_str=True).data)", `b'{"a": 1}'`},
		"header values":       {"r.headers.add('X', 1)\nr.headers.add('x', 2)\nprint(r.headers.getlist('X'), r.headers.get('x', type=int))", "['1', '2'] 1"},
		"one header again":    {"r.headers['X'] = 'a'\nr.headers['x'] = 'b'\nprint(r.headers.items()[-1], 'y' in r.headers)", "('X', 'b') False"},
		"status":              {"r.status = '404 Not Found'\nprint(r.status_code, r.status)", "404 404 NOT FOUND"},
		"mimetype":            {"r.mimetype = 'text/csv'\nprint(r.content_type, r.mimetype)", "text/csv; charset=utf-8 text/csv"},
		"generator":           {"g = AMLResponse((c for c in 'ab'), 200)\nprint(g.is_streamed, g.data, g.is_streamed)", "True b'ab' False"},
	} {
		t.Run(name, func(t *testing.T) {
			code := "from azureml_inference_server_http.api.aml_response import AMLResponse\nr = AMLResponse('x', 200)\n" + test.code
			if got := evaluate(t, code); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}
