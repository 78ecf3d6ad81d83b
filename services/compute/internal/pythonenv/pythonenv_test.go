package pythonenv_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead/fairlead/services/compute/internal/pythonenv"
	"github.com/fairlead/fairlead/services/compute/internal/workload"
)

func have() pythonenv.Interpreter {
	return pythonenv.Interpreter{
		Path: "/usr/bin/python3", Version: "3.11.2",
		Packages: map[string]string{"scikit-learn": "1.2.1", "numpy": "1.24.2", "torch": "2.1.0+cpu", "odd": "unknown"},
		Markers:  map[string]string{"python_version": "3.11", "sys_platform": "linux"},
	}
}

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		ask  workload.Python
		want []string
	}{
		"nothing":   {},
		"satisfied": {ask: workload.Python{Version: "3.11", Pip: []string{"Scikit_Learn[all]>=1.2,<2", "numpy", "--pre", "odd>=1"}, Conda: []string{"python>=3.9", "numpy=1.24", "pytorch=2.1", "libblas", "pip", "cudatoolkit=11"}}},
		"everything is told": {
			ask: workload.Python{Version: "3.1", Pip: []string{"scikit-learn>=1.5", "pandas==2.*", "pandas==2.*", "=1"}, Conda: []string{"python=3.9", "numpy>=2", "opencv", "x==y.z"}},
			want: []string{
				"Python 3.1 (it has 3.11.2)", "scikit-learn>=1.5 (it has 1.2.1)", "pandas==2.* (it has none)",
				"=1, which cannot be read (it must begin with the name of a package) (it has none)",
				"python=3.9 (it has 3.11.2)", "numpy>=2 (it has 1.24.2)", "opencv (it has none)", `x==y.z, which cannot be read ("y.z" is not a version, for example 1.2.3) (it has none)`,
			},
		},
		"one Python, asked for in both ways": {ask: workload.Python{Version: "3.6.2", Conda: []string{"python=3.6.2"}}, want: []string{"Python 3.6.2 (it has 3.11.2)"}},
		"the scorer's part":                  {ask: workload.Python{Pip: []string{"azureml-defaults==1.50", "AzureML.Core"}, Conda: []string{"azureml-monitoring"}}},
		"not asked here":                     {ask: workload.Python{Pip: []string{"pywin32; sys_platform == 'win32'", "new>=1; python_version < '3.8'"}}},
		"asked here":                         {ask: workload.Python{Pip: []string{"new>=1; python_version >= '3.8'"}}, want: []string{"new>=1 (it has none)"}},
		"managed by the user":                {ask: workload.Python{UserManaged: true, Version: "2.7", Pip: []string{"nosuch"}}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, m := range pythonenv.Check(c.ask, have()) {
				got = append(got, m.String())
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatToDoIsTold(t *testing.T) {
	ask := workload.Python{Environment: "sk:2", Pip: []string{"scikit-learn>=1.5"}, Conda: []string{"pytorch=2.2"}}
	err := &pythonenv.MismatchError{Ask: ask, Have: have(), Lack: pythonenv.Check(ask, have()), Folder: "/data/environments/x"}
	want := "environment sk:2 asks for what /usr/bin/python3 does not have: scikit-learn>=1.5 (it has 1.2.1), pytorch=2.2 (it has 2.1.0+cpu); " +
		"make a virtual environment for it and deploy again:  /usr/bin/python3 -m venv --system-site-packages /data/environments/x && " +
		"/data/environments/x/bin/python -m pip install 'scikit-learn>=1.5' 'torch==2.2.*'"
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	ask = workload.Python{Version: "3.13"}
	err = &pythonenv.MismatchError{Ask: ask, Have: have(), Lack: pythonenv.Check(ask, have()), Folder: "/data/environments/x"}
	if got := err.Error(); !strings.Contains(got, "install a Python that has it") || strings.Contains(got, "pip install") {
		t.Errorf("another Python: %s", got)
	}
}

func TestEqualAsksHaveOneFolder(t *testing.T) {
	a := workload.Python{Environment: "a:1", Pip: []string{"numpy"}, CondaChannels: []string{"x"}}
	b := workload.Python{Environment: "b:7", Pip: []string{"numpy"}, BaseImage: "y"}
	if pythonenv.Digest(a) != pythonenv.Digest(b) {
		t.Error("they ask the same")
	}
	b.Pip = []string{"numpy>=1"}
	if pythonenv.Digest(a) == pythonenv.Digest(b) {
		t.Error("they ask something else")
	}
}
