// Package pythonenv tells whether an interpreter has what a script asks, and
// says in plain words what it lacks and what to do about it. It is pure.
//
// Packages whose part the scorer plays count as there. Requirements that a
// marker takes out for the interpreter are not asked. Of conda's packages those
// that are no Python packages cannot be seen from here and are taken for granted.
package pythonenv

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/platform/requirement"
	"github.com/fairlead/fairlead/services/compute/internal/workload"
)

// Interpreter is what is asked of.
type Interpreter struct {
	Path    string
	Version string
	// Packages are the versions of what is installed, by requirement.Key of the name.
	Packages map[string]string
	// Markers are the values that markers ask about.
	Markers map[string]string
}

// Mismatch is one thing that an interpreter lacks.
type Mismatch struct {
	Wanted string // as it was asked
	Found  string // the version that is there; empty when there is none
	// Install is what pip would be told to mend it; empty when pip cannot.
	Install string
}

// String says it in a few words.
func (m Mismatch) String() string {
	if m.Found == "" {
		return m.Wanted + " (it has none)"
	}
	return m.Wanted + " (it has " + m.Found + ")"
}

// Check gives all that the interpreter lacks.
func Check(ask workload.Python, have Interpreter) []Mismatch {
	if ask.UserManaged {
		return nil
	}
	c := &check{have: have, version: ask.Version}
	if ask.Version != "" {
		c.python("==" + strings.TrimSuffix(ask.Version, ".*") + ".*")
	}
	for _, text := range ask.Pip {
		c.pip(text)
	}
	for _, text := range ask.Conda {
		c.conda(text)
	}
	return c.found
}

type check struct {
	have    Interpreter
	version string // of Python, that is asked for
	found   []Mismatch
}

func (c *check) add(m Mismatch) {
	if !slices.Contains(c.found, m) {
		c.found = append(c.found, m)
	}
}

func (c *check) python(specifiers string) {
	wanted, err := requirement.ParseSpecifiers(specifiers)
	version, versionErr := requirement.ParseVersion(c.have.Version)
	if err != nil || versionErr != nil || !wanted.Allow(version) {
		c.add(Mismatch{Wanted: "Python " + strings.TrimSuffix(strings.TrimPrefix(specifiers, "=="), ".*"), Found: c.have.Version})
	}
}

func (c *check) pip(text string) {
	if requirement.IsOption(text) {
		return
	}
	r, err := requirement.Parse(text)
	switch {
	case err != nil:
		c.add(Mismatch{Wanted: text + ", which cannot be read (" + err.Error() + ")"})
		return
	case requirement.ServedByScorer(r.Name) || !r.Marker.Holds(c.have.Markers):
		return
	}
	plain := requirement.Requirement{Name: r.Name, Extras: r.Extras, Versions: r.Versions, URL: r.URL}.String()
	c.distribution(plain, []string{r.Name}, plain, r.Versions.Allow)
}

func (c *check) conda(text string) {
	d, err := requirement.ParseConda(text)
	if err != nil {
		c.add(Mismatch{Wanted: text + ", which cannot be read (" + err.Error() + ")"})
		return
	}
	key := requirement.Key(d.Name)
	switch {
	case key == "python":
		version, err := requirement.ParseVersion(c.have.Version)
		asked := slices.Contains([]string{"python=" + c.version, "python==" + c.version}, strings.TrimSuffix(strings.ToLower(d.String()), ".*"))
		if !asked && (err != nil || !d.Allows(version)) { // else the version that is asked for says it already
			c.add(Mismatch{Wanted: d.String(), Found: c.have.Version})
		}
		return
	case requirement.ServedByScorer(key) || noPythonPackage(key):
		return
	}
	names := append([]string{d.Name}, pipNames(key)...)
	install := names[len(names)-1]
	if len(d.Alternatives) == 1 {
		install += d.Alternatives[0].String()
	}
	c.distribution(d.String(), names, install, d.Allows)
}

// distribution looks for a package under any of its names.
func (c *check) distribution(wanted string, names []string, install string, allows func(requirement.Version) bool) {
	for _, name := range names {
		installed, ok := c.have.Packages[requirement.Key(name)]
		if !ok {
			continue
		}
		// What has a version that cannot be read cannot be compared either.
		if version, err := requirement.ParseVersion(installed); err == nil && !allows(version) {
			c.add(Mismatch{Wanted: wanted, Found: installed, Install: install})
		}
		return
	}
	c.add(Mismatch{Wanted: wanted, Install: install})
}

// pipNames gives what pip calls packages that conda calls otherwise.
func pipNames(key string) []string {
	return map[string][]string{
		"pytorch": {"torch"}, "pytorch-cpu": {"torch"}, "pytorch-gpu": {"torch"}, "py-xgboost": {"xgboost"},
		"tensorflow-gpu": {"tensorflow"}, "tensorflow-base": {"tensorflow"},
		"opencv": {"opencv-python-headless", "opencv-python"}, "py-opencv": {"opencv-python-headless", "opencv-python"},
		"msgpack-python": {"msgpack"}, "matplotlib-base": {"matplotlib"}, "ruamel-yaml": {"ruamel.yaml"},
		"python-graphviz": {"graphviz"}, "dask-core": {"dask"}, "onnxruntime-gpu": {"onnxruntime"},
	}[key]
}

// noPythonPackage says whether conda has something under this name that Python
// cannot see.
func noPythonPackage(key string) bool {
	if strings.HasPrefix(key, "lib") || strings.HasPrefix(key, "-") || strings.HasSuffix(key, "-linux-64") {
		return true
	}
	return slices.Contains([]string{
		"pip", "setuptools", "wheel", "conda", "mamba", "openssl", "ca-certificates", "certifi", "zlib", "xz", "tk", "readline", "sqlite", "ncurses",
		"bzip2", "blas", "mkl", "mkl-service", "nomkl", "openblas", "intel-openmp", "llvm-openmp", "cudatoolkit", "cuda", "cudnn", "pytorch-cuda", "cpuonly",
		"pytorch-mutex", "gcc", "gxx", "gcc-linux-64", "cmake", "make", "git", "curl", "wget", "nodejs", "openjdk", "r-base", "ffmpeg", "graphviz", "geos", "gdal", "proj",
		"tzdata", "nginx",
	}, key)
}

// Digest names the environment of an ask: equal asks have the same.
func Digest(ask workload.Python) string {
	ask.Environment, ask.InterpreterPath, ask.BaseImage, ask.CondaChannels = "", "", "", nil
	data, err := json.Marshal(ask)
	if err != nil { // no field can fail to marshal
		return ""
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])[:16]
}

// MismatchError says that no interpreter has what is asked.
type MismatchError struct {
	Ask  workload.Python
	Have Interpreter // the one that lacks least
	Lack []Mismatch
	// Folder is where a virtual environment for the ask would be found.
	Folder string
}

// Error names everything that is lacking, and what to do.
func (e *MismatchError) Error() string {
	lacking := make([]string, len(e.Lack))
	for i, m := range e.Lack {
		lacking[i] = m.String()
	}
	text := fmt.Sprintf("%s asks for what %s does not have: %s", e.asker(), e.Have.Path, strings.Join(lacking, ", "))
	return text + "; " + e.remedy()
}

func (e *MismatchError) asker() string {
	if e.Ask.Environment == "" {
		return "the environment"
	}
	return "environment " + e.Ask.Environment
}

func (e *MismatchError) remedy() string {
	var install []string
	for _, m := range e.Lack {
		if m.Install == "" {
			return "install a Python that has it and name it as the environment's interpreter_path, or change the environment"
		}
		install = append(install, "'"+strings.ReplaceAll(m.Install, "'", `'\''`)+"'")
	}
	if e.Ask.InterpreterPath != "" || e.Folder == "" {
		return fmt.Sprintf("install it and deploy again:  %s -m pip install %s", e.Have.Path, strings.Join(install, " "))
	}
	return fmt.Sprintf("make a virtual environment for it and deploy again:  %s -m venv --system-site-packages %s && %s/bin/python -m pip install %s",
		e.Have.Path, e.Folder, e.Folder, strings.Join(install, " "))
}
