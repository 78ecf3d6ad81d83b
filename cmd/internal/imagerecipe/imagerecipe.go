// Package imagerecipe turns an environment and a script with its models into a
// Dockerfile and the files that it needs beside it.
//
// Make is a pure function: the same input gives the same texts. The image holds
// everything at fixed paths, runs without being root, and starts a scorer that
// takes further flags as arguments, so that whoever runs it (a person, a
// cluster) can add to them.
package imagerecipe

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/requirement"
)

// Paths in the image.
const (
	AppRoot    = "/var/azureml-app"
	ModelsRoot = AppRoot + "/" + ModelsFolder
	Program    = "/usr/local/bin/fairlead"
)

// Paths in the build context.
const (
	AppFolder         = "azureml-app"
	ModelsFolder      = "azureml-models"
	EnvironmentFolder = "environment"
	ProgramFile       = "fairlead"
	Dockerfile        = "Dockerfile"
)

// Port is where the scorer listens.
const Port = 5001

const (
	// DefaultPython is taken where the environment does not ask for another.
	DefaultPython = "3.12"
	condaImage    = "mambaorg/micromamba:2.0.5"
	plainImage    = "debian:12-slim" // where conda brings all else
	condaPrefix   = "/opt/environment"
	condaFile     = "conda.yml"
	pipFile       = "requirements.txt"
	// user is the account of the old product's images: what scripts write must be its own.
	user = "1001:1001"
)

// Environment is what scripts need.
type Environment struct {
	ID              string // for people; empty when it is not registered
	Variables       map[string]string
	CondaChannels   []string
	Conda           []string // packages as conda knows them
	Pip             []string // requirements and options of pip
	InterpreterPath string
	UserManaged     bool
	BaseImage       string
	BaseDockerfile  string
	Registry        string
}

// App is what runs.
type App struct {
	EntryScript string
	Models      []Model
	// FairleadImage is an image with the program; empty when it is in the context.
	FairleadImage string
}

// Model is one model of an app.
type Model struct {
	Name    string
	Version int64
}

// Recipe is a Dockerfile with the files that it needs.
type Recipe struct {
	// Files are texts by their paths in the context, the Dockerfile among them.
	Files map[string]string
	// Notices say what is set and has no effect, and why.
	Notices []string
}

// Make makes the recipe. The error lists all that an image cannot have.
func Make(e Environment, a App) (Recipe, error) {
	p, err := planOf(e, a)
	if err != nil {
		return Recipe{}, err
	}
	r := Recipe{Files: map[string]string{}, Notices: p.notices}
	if p.conda {
		r.Files[EnvironmentFolder+"/"+condaFile] = condaText(p.channels, p.condaPackages)
	}
	if len(p.pip) > 0 {
		r.Files[EnvironmentFolder+"/"+pipFile] = strings.Join(p.pip, "\n") + "\n"
	}
	r.Files[Dockerfile] = p.dockerfile()
	return r, nil
}

// ModelDir gives AZUREML_MODEL_DIR: the one model, or the folder of all; empty
// when there is none.
func (a App) ModelDir() string {
	switch len(a.Models) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("%s/%s/%d", ModelsRoot, a.Models[0].Name, a.Models[0].Version)
	}
	return ModelsRoot
}

// plan is what the Dockerfile has to do.
type plan struct {
	environment Environment
	app         App

	conda         bool
	channels      []string
	condaPackages []string
	pip           []string
	python        string // the interpreter in the image
	image         string // what is built on; empty with a base Dockerfile
	notices       []string
}

func planOf(e Environment, a App) (plan, error) {
	p := plan{environment: e, app: a, python: "python3"}
	var bad apierr.Violations
	for _, name := range slices.Sorted(maps.Keys(e.Variables)) {
		if strings.ContainsAny(e.Variables[name], "\r\n") {
			bad.Add("environment_variables", "the value of %s has a line break, which a Dockerfile cannot hold; put it into a file of the source directory", name)
		}
	}
	if e.BaseImage != "" && e.BaseDockerfile != "" {
		bad.Add("docker", "base image and base Dockerfile cannot both be given: drop one")
	}
	if e.BaseDockerfile != "" && firstFrom(e.BaseDockerfile) < 0 {
		bad.Add("docker.base_dockerfile", "has no FROM instruction: give the text of a whole Dockerfile")
	}
	if otherEscape(e.BaseDockerfile) {
		bad.Add("docker.base_dockerfile", "changes the escape character, which cannot be built on; drop the line \"# escape\"")
	}
	p.packages(&bad)
	p.base()
	switch {
	case e.InterpreterPath != "" && p.conda:
		p.notices = append(p.notices, "python.interpreter_path has no effect, because conda brings the interpreter")
	case e.InterpreterPath != "":
		p.python = e.InterpreterPath
	}
	return p, bad.Err()
}

// packages decides what conda and what pip installs.
func (p *plan) packages(bad *apierr.Violations) {
	e := p.environment
	if e.UserManaged {
		if len(e.Conda)+len(e.Pip) > 0 {
			p.notices = append(p.notices, "packages are listed and not installed, because the environment is user-managed: the image has what its base image has")
		}
		return
	}
	var served []string
	for i, text := range e.Pip {
		r, err := requirement.Parse(text)
		switch {
		case requirement.IsOption(text):
			p.pip = append(p.pip, text)
		case err != nil:
			bad.Add(fmt.Sprintf("python.pip_requirements[%d]", i), "%q: %v", text, err)
		case requirement.ServedByScorer(r.Name):
			served = append(served, r.Name)
		default:
			p.pip = append(p.pip, text)
		}
	}
	others := false
	for i, text := range e.Conda {
		d, err := requirement.ParseConda(text)
		switch key := requirement.Key(d.Name); {
		case err != nil:
			bad.Add(fmt.Sprintf("python.conda_dependencies[%d]", i), "%q: %v", text, err)
		case requirement.ServedByScorer(key):
			served = append(served, d.Name)
		default:
			p.condaPackages = append(p.condaPackages, text)
			others = others || key != "python" && key != "pip"
		}
	}
	if len(served) > 0 {
		p.notices = append(p.notices, strings.Join(served, ", ")+": not installed, the scorer itself stands in for it")
	}
	asked, exact := p.pythonVersion()
	built := e.BaseImage != "" || e.BaseDockerfile != ""
	// A slim image has the Python that is asked for; everything else is conda's.
	p.conda = others || asked && (built || !exact)
}

// base decides what is built on.
func (p *plan) base() {
	e := p.environment
	switch {
	case e.BaseDockerfile != "":
	case e.BaseImage != "":
		p.image = e.BaseImage
		if e.Registry != "" && !strings.HasPrefix(e.BaseImage, strings.TrimSuffix(e.Registry, "/")+"/") {
			p.image = strings.TrimSuffix(e.Registry, "/") + "/" + e.BaseImage
		}
	case p.conda:
		p.image = plainImage
	default:
		p.image = "python:" + p.slimVersion() + "-slim"
	}
	if p.conda {
		p.python = condaPrefix + "/bin/python3"
		p.completeConda()
	}
}

// pythonVersion says whether the environment asks for a Python, and whether the
// slim images have it under that name.
func (p *plan) pythonVersion() (asked, exact bool) {
	d, asked := p.pythonPackage()
	if !asked {
		return false, false
	}
	if len(d.Alternatives) == 0 {
		return true, true
	}
	if versionOf(d) != "" {
		return true, true
	}
	usual, err := requirement.ParseVersion(DefaultPython)
	return true, err == nil && d.Allows(usual)
}

func (p *plan) slimVersion() string {
	if d, asked := p.pythonPackage(); asked {
		return cmp.Or(versionOf(d), DefaultPython)
	}
	return DefaultPython
}

func (p *plan) pythonPackage() (requirement.Conda, bool) {
	for _, text := range p.condaPackages {
		if d, err := requirement.ParseConda(text); err == nil && requirement.Key(d.Name) == "python" {
			return d, true
		}
	}
	return requirement.Conda{}, false
}

// versionOf gives the one version that a package is pinned to, or its beginning.
func versionOf(d requirement.Conda) string {
	if len(d.Alternatives) != 1 || len(d.Alternatives[0]) != 1 || d.Build != "" {
		return ""
	}
	version, pinned := strings.CutPrefix(d.Alternatives[0][0].String(), "==")
	if !pinned {
		return ""
	}
	return strings.TrimSuffix(version, ".*")
}

// completeConda adds what the environment needs to be one of Python's.
func (p *plan) completeConda() {
	has := func(name string) bool {
		return slices.ContainsFunc(p.condaPackages, func(text string) bool {
			d, err := requirement.ParseConda(text)
			return err == nil && requirement.Key(d.Name) == name
		})
	}
	if !has("python") {
		p.condaPackages = append(p.condaPackages, "python="+DefaultPython)
	}
	if len(p.pip) > 0 && !has("pip") {
		p.condaPackages = append(p.condaPackages, "pip")
	}
	p.channels = p.environment.CondaChannels
	if len(p.channels) == 0 {
		p.channels = []string{"conda-forge"}
	}
}

func condaText(channels, packages []string) string {
	var b strings.Builder
	b.WriteString("channels:\n")
	for _, c := range channels {
		fmt.Fprintf(&b, "  - %q\n", c)
	}
	b.WriteString("dependencies:\n")
	for _, d := range packages {
		fmt.Fprintf(&b, "  - %q\n", d)
	}
	return b.String()
}
