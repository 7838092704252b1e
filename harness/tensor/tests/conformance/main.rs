//! Conformance suite: every operation and every gradient, on each engine and device present, in every dtype, against an f64
//! reference written from the definitions. A missing capability is a skip, printed and held against a committed list.

mod array;
mod case;
mod cases;
mod coverage;
mod creation;
mod errors;
mod factorisations;
mod forward;
mod gradients;
mod layout;
mod likelihoods;
mod reference;
mod skips;
mod state;
mod tolerance;
mod updates;

macro_rules! agrees {
    ($($family:ident, $values:ident, $gradients:ident;)*) => {
        $(
            #[test]
            fn $values() {
                forward::check(&cases::$family());
            }

            #[test]
            fn $gradients() {
                gradients::check(&cases::$family());
            }
        )*
    };
}

agrees! {
    elementwise, elementwise_values_agree_with_the_reference, elementwise_gradients_agree_with_the_reference;
    reductions, reductions_agree_with_the_reference, gradients_of_reductions_agree_with_the_reference;
    shapes, rearrangements_agree_with_the_reference, gradients_of_rearrangements_agree_with_the_reference;
    indexing, indexing_agrees_with_the_reference, gradients_of_indexing_agree_with_the_reference;
    products, products_agree_with_the_reference, gradients_of_products_agree_with_the_reference;
    rows, row_operations_agree_with_the_reference, gradients_of_row_operations_agree_with_the_reference;
    attention, attention_agrees_with_the_reference, gradients_of_attention_agree_with_the_reference;
    composed, composed_operations_agree_with_the_reference, gradients_flow_through_composed_operations;
}
