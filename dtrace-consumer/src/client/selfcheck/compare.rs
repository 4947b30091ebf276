//! Which answer is the first that differs from the predicted ones?

use super::questions::Question;

/// The longest part of an answer that a message shows, in characters.
const SHOWN: usize = 300;

/// Returns the first predicted line that is missing, or a line that was not predicted. The order of the lines does
/// not matter, but their number does.
pub(super) fn first_difference<'q>(
    predicted: impl IntoIterator<Item = &'q Question>,
    mut given: Vec<String>,
) -> Option<String> {
    let mut missing = Vec::new();
    for question in predicted {
        for line in expected(question, &given) {
            match given.iter().position(|it| it == line) {
                Some(at) => drop(given.remove(at)),
                None => missing.push((question.about, *line)),
            }
        }
    }
    match missing.first() {
        Some((about, line)) => {
            let nearest = given.iter().max_by_key(|it| in_common(it, line));
            let nearest = nearest.filter(|it| in_common(it, line) > 0);
            let got = nearest.map_or("nothing like it".to_owned(), |it| quoted(it));
            Some(format!("{about}: expected {}, got {got}", quoted(line)))
        }
        None => given.first().map(|line| format!("unexpected {}", quoted(line))),
    }
}

/// Returns the first line that no question predicts, of a session that has not delivered all.
pub(super) fn unexpected<'q>(
    predicted: impl IntoIterator<Item = &'q Question, IntoIter: Clone>,
    given: &[String],
) -> Option<String> {
    let predicted = predicted.into_iter();
    let is_predicted =
        |line: &String| predicted.clone().any(|question| question.answers.contains(&line.as_str()));
    given.iter().find(|line| !is_predicted(line)).map(|line| format!("unexpected {}", quoted(line)))
}

/// Returns the lines that answer a question: the predicted ones, unless all of the others were given in their place.
fn expected(question: &Question, given: &[String]) -> &'static [&'static str] {
    let is_given = |line: &&str| given.iter().any(|it| it == line);
    let are_given = !question.or.is_empty() && question.or.iter().all(is_given);
    if are_given { question.or } else { question.answers }
}

/// Returns how many bytes the beginnings of two lines have in common.
fn in_common(a: &str, b: &str) -> usize {
    a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count()
}

fn quoted(line: &str) -> String {
    let shown: String = line.chars().take(SHOWN).collect();
    let more = if shown.len() < line.len() { "…" } else { "" };
    format!("`{}{more}`", shown.replace('\n', "\\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUESTIONS: [Question; 2] = [
        Question {
            about: "records",
            ask: "",
            answers: &["firing 0: 1", "firing 0: 1"],
            or: &["lost 2", "lost 3"],
        },
        Question { about: "drops", ask: "", answers: &["drop 2"], or: &[] },
    ];

    fn difference(given: &[&str]) -> Option<String> {
        first_difference(&QUESTIONS, given.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_first_predicted_answer_that_is_missing_is_named_with_the_nearest_one() {
        assert_eq!(difference(&["drop 2", "firing 0: 1", "firing 0: 1"]), None);
        let wrong = difference(&["drop 3", "firing 0: 7", "firing 0: 1"]);
        let named = "records: expected `firing 0: 1`, got `firing 0: 7`";
        assert_eq!(wrong.as_deref(), Some(named));
        let fewer = difference(&["firing 0: 1", "firing 0: 1"]);
        assert_eq!(fewer.as_deref(), Some("drops: expected `drop 2`, got nothing like it"));
    }

    #[test]
    fn other_answers_take_the_place_of_the_predicted_ones_all_together() {
        assert_eq!(difference(&["drop 2", "lost 3", "lost 2"]), None);
        let one = difference(&["drop 2", "lost 2"]);
        let named = "records: expected `firing 0: 1`, got nothing like it";
        assert_eq!(one.as_deref(), Some(named));
        let both = difference(&["drop 2", "lost 3", "lost 2", "firing 0: 1"]);
        assert_eq!(both.as_deref(), Some("unexpected `firing 0: 1`"));
        let neither = unexpected(&QUESTIONS, &["drop 2".to_owned(), "lost 2".to_owned()]);
        assert_eq!(neither.as_deref(), Some("unexpected `lost 2`"));
    }

    #[test]
    fn an_answer_too_many_is_a_difference() {
        let more = difference(&["drop 2", "firing 0: 1", "firing 0: 1", "drop 2"]);
        assert_eq!(more.as_deref(), Some("unexpected `drop 2`"));
    }
}
