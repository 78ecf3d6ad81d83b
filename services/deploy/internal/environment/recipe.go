package environment

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/fairlead/fairlead/platform/requirement"
)

// Recipe says how an image of an environment is built: a Dockerfile, and the
// files that it copies, by their path beside it. It is the same for the same
// content, so that images can be found again.
type Recipe struct {
	Dockerfile string
	Files      map[string]string
	// Python is the interpreter in the image.
	Python string
}

const (
	defaultPython    = "3.11"
	condaImage       = "docker.io/condaforge/miniforge3:24.11.3-2"
	condaPrefix      = "/opt/environment"
	condaFileName    = "conda.yml"
	requirementsName = "requirements.txt"
)

// NewRecipe makes the recipe of an environment. Without an image to build on it
// takes a slim one with the Python that is asked for, or one with conda where
// conda's packages are asked for.
func NewRecipe(v Version) Recipe {
	pip, conda := v.toInstall()
	r := Recipe{Files: map[string]string{}, Python: "python3"}
	var b strings.Builder
	fmt.Fprintf(&b, "# environment %s\n", v.ID())
	b.WriteString(v.begin(len(conda) > 0))
	for _, name := range slices.Sorted(maps.Keys(v.Variables)) {
		fmt.Fprintf(&b, "ENV %s=%s\n", name, quoted(v.Variables[name]))
	}
	switch {
	case v.Python.UserManaged:
		b.WriteString("# packages are those of the image\n")
	case len(conda) > 0:
		r.Files[condaFileName] = condaText(v.Python.CondaChannels, conda, pip)
		fmt.Fprintf(&b, "COPY %s /tmp/%s\n", condaFileName, condaFileName)
		fmt.Fprintf(&b, "RUN conda env create --yes --prefix %s --file /tmp/%s && conda clean --all --yes && rm /tmp/%s\n", condaPrefix, condaFileName, condaFileName)
		fmt.Fprintf(&b, "ENV PATH=%s/bin:$PATH\n", condaPrefix)
		r.Python = condaPrefix + "/bin/python"
	case len(pip) > 0:
		r.Files[requirementsName] = strings.Join(pip, "\n") + "\n"
		fmt.Fprintf(&b, "COPY %s /tmp/%s\n", requirementsName, requirementsName)
		fmt.Fprintf(&b, "RUN python3 -m pip install --no-cache-dir --requirement /tmp/%s && rm /tmp/%s\n", requirementsName, requirementsName)
	}
	if v.Python.InterpreterPath != "" {
		r.Python = v.Python.InterpreterPath
	}
	r.Dockerfile = b.String()
	return r
}

// begin gives what comes before our own instructions.
func (v Version) begin(needsConda bool) string {
	switch {
	case v.Docker.BaseDockerfile != "":
		return strings.TrimRight(v.Docker.BaseDockerfile, "\n") + "\n"
	case v.Docker.BaseImage != "":
		image := v.Docker.BaseImage
		if registry := strings.TrimSuffix(v.Docker.Registry, "/"); registry != "" && !strings.HasPrefix(image, registry+"/") {
			image = registry + "/" + image
		}
		return "FROM " + image + "\n"
	case needsConda:
		return "FROM " + condaImage + "\n"
	}
	python := v.PythonVersion()
	if python == "" {
		python = defaultPython
	}
	return "FROM docker.io/library/python:" + python + "-slim\n"
}

// toInstall gives what pip and conda must bring. What the scorer stands in for
// is left out. A plain Python needs no conda: the image has it.
func (v Version) toInstall() (pip, conda []string) {
	for _, text := range v.Python.PipRequirements {
		if r, err := requirement.Parse(text); err == nil && ServedByScorer(r.Name) {
			continue
		}
		pip = append(pip, text)
	}
	more := false
	for _, text := range v.Python.CondaDependencies {
		d, err := requirement.ParseConda(text)
		if err == nil && ServedByScorer(d.Name) {
			continue
		}
		key := requirement.Key(d.Name)
		more = more || (key != "python" && key != "pip")
		conda = append(conda, text)
	}
	if !more {
		return pip, nil
	}
	return pip, conda
}

func condaText(channels, dependencies, pip []string) string {
	var b strings.Builder
	if len(channels) > 0 {
		b.WriteString("channels:\n")
		for _, c := range channels {
			fmt.Fprintf(&b, "  - %s\n", strconv.Quote(c))
		}
	}
	b.WriteString("dependencies:\n")
	hasPip := false
	for _, d := range dependencies {
		fmt.Fprintf(&b, "  - %s\n", strconv.Quote(d))
		parsed, err := requirement.ParseConda(d)
		hasPip = hasPip || (err == nil && requirement.Key(parsed.Name) == "pip")
	}
	if len(pip) == 0 {
		return b.String()
	}
	if !hasPip {
		b.WriteString("  - \"pip\"\n")
	}
	b.WriteString("  - pip:\n")
	for _, p := range pip {
		fmt.Fprintf(&b, "      - %s\n", strconv.Quote(p))
	}
	return b.String()
}

// quoted writes a value for a Dockerfile: nothing in it is expanded, and it stays
// on its line.
func quoted(value string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "\n", " ", "\r", " ").Replace(value) + `"`
}
