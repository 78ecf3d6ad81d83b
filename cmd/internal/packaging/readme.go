package packaging

import (
	"fmt"
	"strings"

	"github.com/fairlead/fairlead/cmd/internal/imagerecipe"
)

// readme says how to build, run and score the image.
func (c Context) readme(recipe imagerecipe.Recipe) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	name := c.imageName()
	line("# %s", name)
	line("")
	line("A Docker build context: an image that answers scoring requests on port %d.", imagerecipe.Port)
	line("")
	line("    docker build -t %s%s .", name, c.platformFlag())
	line("    docker run --rm -p %[1]d:%[1]d%[2]s %[3]s", imagerecipe.Port, c.runFlags(), name)
	line("    curl http://localhost:%d/score -H 'Content-Type: application/json' -d @request.json", imagerecipe.Port)
	line("")
	line("`GET /` answers `Healthy` once `init()` has returned. SIGTERM lets running requests end first.")
	line("")
	line("More requests at the same time need more worker processes, each with its own memory: `docker run -e WORKER_COUNT=4 …`.")
	line("What stands behind the image's name is a further flag of the scorer: `docker run … %s --help` lists them.", name)
	line("Nothing asks for a key here: put the container behind something that does.")
	line("")
	line("## What is in it")
	line("")
	line("| In the image | From |")
	line("| --- | --- |")
	line("| `%s` | the script `%s` with its files |", imagerecipe.AppRoot, c.EntryScript)
	for _, m := range c.Models {
		line("| `%s/%s/%d` | model %s |", imagerecipe.ModelsRoot, m.GetModel(), m.GetVersion(), m.GetId())
	}
	if c.FairleadImage != "" {
		line("| `%s` | the image %s; `--build-arg FAIRLEAD_IMAGE=…` takes another that has the program there |", imagerecipe.Program, c.FairleadImage)
	} else {
		line("| `%s` | `%s` beside this file, for %s |", imagerecipe.Program, imagerecipe.ProgramFile, c.Platform)
	}
	line("")
	line("`%s` has the digest of every file. Values of environment variables are in the image: keep secrets out of them.", ManifestFile)
	for _, n := range recipe.Notices {
		line("")
		line("Note: %s.", n)
	}
	return b.String()
}

// imageName is a name for the image that container tools accept.
func (c Context) imageName() string {
	name := strings.TrimSuffix(c.EntryScript[strings.LastIndex(c.EntryScript, "/")+1:], ".py")
	if len(c.Models) > 0 {
		name = c.Models[0].GetModel()
	}
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
	if len(words) == 0 {
		return "model"
	}
	return strings.Join(words, "-")
}

func (c Context) platformFlag() string {
	if c.Platform == "" {
		return ""
	}
	return " --platform " + c.Platform
}

func (c Context) runFlags() string {
	if len(c.RunArguments) == 0 {
		return ""
	}
	return " " + strings.Join(c.RunArguments, " ")
}
