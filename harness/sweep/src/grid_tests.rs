use super::*;
use crate::problem::Source;

fn grid(text: &str) -> (Vec<Vec<String>>, Vec<String>) {
    let text = format!("name = 'a'\nmodels = []\nengines = []\nevaluation = {{}}\n{text}");
    let experiment: Experiment = toml::from_str(&text).unwrap();
    let source = Source::default();
    let mut problems = Collector::new(&source);
    let recipes = recipes(&experiment, &mut problems)
        .into_iter()
        .map(|written| written.methods)
        .collect();
    let problems = problems
        .finish("a")
        .map_or_else(|problems| problems.problems, |()| Vec::new());
    (recipes, problems.into_iter().map(|problem| problem.text).collect())
}

fn good(text: &str) -> Vec<Vec<String>> {
    let (recipes, problems) = grid(text);
    assert_eq!(problems, [""; 0]);
    recipes
}

#[test]
fn braces_span_a_grid_and_repetitions_count_once() {
    let recipes =
        good(r#"recipes = ["x(ratio={0.1,0.2}, scope={row,global})", ["y", "z(n={1,2})"], "x(ratio=0.1, scope=row)"]"#);
    let expected: [&[&str]; 6] = [
        &["x(ratio=0.1, scope=row)"],
        &["x(ratio=0.1, scope=global)"],
        &["x(ratio=0.2, scope=row)"],
        &["x(ratio=0.2, scope=global)"],
        &["y", "z(n=1)"],
        &["y", "z(n=2)"],
    ];
    assert_eq!(recipes, expected);
}

#[test]
fn braces_that_do_not_pair_are_refused() {
    for bad in ["x(a={1,2)", "x(a=1})", "x(a={1,{2}})", "}{"] {
        assert!(expand(bad).unwrap_err().contains(bad), "{bad}");
    }
}

#[test]
fn a_named_axis_is_the_same_wherever_a_recipe_has_it() {
    let recipes = good(
        r#"
        recipes = ["x(a={ratio})", ["y(b={ratio}, c={1,2})", "z(d={ratio}, e={how})"]]
        axes = { ratio = [0.5, 1.0], how = ["row", true] }
        "#,
    );
    let expected: [&[&str]; 10] = [
        &["x(a=0.5)"],
        &["x(a=1.0)"],
        &["y(b=0.5, c=1)", "z(d=0.5, e=row)"],
        &["y(b=0.5, c=2)", "z(d=0.5, e=row)"],
        &["y(b=0.5, c=1)", "z(d=0.5, e=true)"],
        &["y(b=0.5, c=2)", "z(d=0.5, e=true)"],
        &["y(b=1.0, c=1)", "z(d=1.0, e=row)"],
        &["y(b=1.0, c=2)", "z(d=1.0, e=row)"],
        &["y(b=1.0, c=1)", "z(d=1.0, e=true)"],
        &["y(b=1.0, c=2)", "z(d=1.0, e=true)"],
    ];
    assert_eq!(recipes, expected);
}

#[test]
fn an_axis_and_its_name_in_a_recipe_belong_together() {
    let (recipes, problems) = grid("recipes = ['x(a={ratoi})']\naxes = { ratio = [1] }");
    assert!(recipes.is_empty());
    assert!(
        problems[0].contains("`{ratoi}` names no axis; did you mean `ratio`?"),
        "{problems:?}"
    );
    assert!(
        problems[1].contains("axis `ratio` is in no recipe; did you mean `ratoi`?"),
        "{problems:?}"
    );
    let (_, problems) = grid("recipes = ['x(a={ratio})']");
    assert!(problems[0].contains("there are no [axes]"), "{problems:?}");
    let (_, problems) = grid("recipes = ['x']\naxes = { empty = [], '1' = [1], braces = ['{'] }");
    for part in [
        "axis `empty` is empty",
        "axis `1`: letters",
        "axis `braces`: an entry has braces",
    ] {
        assert!(
            problems.iter().any(|problem| problem.contains(part)),
            "{part}: {problems:?}"
        );
    }
}

#[test]
fn a_recipe_may_have_seeds_of_its_own() {
    let seeded = "recipes = ['a', { recipe = ['b', 'c(n={1,2})'], seeds = [4, 5] }]";
    let text = |recipes: &str, evaluation: &str| {
        let text = format!("name = 'a'\nmodels = []\nengines = []\nevaluation = {{ {evaluation} }}\n{recipes}");
        toml::from_str::<Experiment>(&text)
    };
    let told = |experiment: &Experiment| {
        let source = Source::default();
        let mut problems = Collector::new(&source);
        let seeds: Vec<_> = recipes(experiment, &mut problems)
            .into_iter()
            .map(|written| (written.methods.join(" + "), written.seeds.map(<[u64]>::to_vec)))
            .collect();
        let problems = problems
            .finish("a")
            .err()
            .map_or_else(Vec::new, |problems| problems.problems);
        (
            seeds,
            problems.into_iter().map(|problem| problem.text).collect::<Vec<_>>(),
        )
    };
    let (seeds, problems) = told(&text(seeded, "").unwrap());
    let of = |recipe: &str, seeds: Option<&[u64]>| (recipe.to_owned(), seeds.map(<[u64]>::to_vec));
    assert_eq!(
        seeds,
        [
            of("a", None),
            of("b + c(n=1)", Some(&[4, 5])),
            of("b + c(n=2)", Some(&[4, 5]))
        ]
    );
    assert!(problems.is_empty(), "{problems:?}");
    let (_, problems) = told(&text("recipes = [{ recipe = ['b'], seeds = [] }]", "").unwrap());
    assert!(problems[0].contains("`seeds` is empty"), "{problems:?}");
    let speed = "throughput = { prompt_tokens = 1, generated_tokens = 1, batch = 1, repeats = 1, warmup = 1 }";
    let (_, problems) = told(&text(seeded, speed).unwrap());
    assert!(problems[0].contains("rounds of the experiment's"), "{problems:?}");
    let error = text("recipes = [{ recipe = ['b'], sedes = [1] }]", "")
        .unwrap_err()
        .to_string();
    assert!(error.contains("seeds = [0, 1, 2]"), "{error}");
}
