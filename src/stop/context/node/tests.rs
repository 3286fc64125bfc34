use super::*;

fn child(parent: &Arc<Node>) -> Arc<Node> {
    Node::new([Some(parent), None], Hint::None, None)
}

fn watchers(node: &Node) -> usize {
    match &*lock(&node.state) {
        State::Alive { watchers, .. } => watchers.len(),
        State::Ended(_) => 0,
    }
}

#[test]
fn a_dropped_child_is_forgotten_by_both_parents() {
    let (one, two) = (Node::new([None, None], Hint::None, None), Node::new([None, None], Hint::None, None));
    let kept = child(&one);
    let merged = Node::new([Some(&one), Some(&two)], Hint::None, None);
    assert_eq!((watchers(&one), watchers(&two)), (2, 1));
    drop(merged);
    assert_eq!((watchers(&one), watchers(&two)), (1, 0));
    drop(kept);
    assert_eq!(watchers(&one), 0);
}

#[test]
fn freeing_a_chain_unlinks_every_link() {
    let root = Node::new([None, None], Hint::None, None);
    let leaf = (0..10).fold(child(&root), |parent, _| child(&parent));
    assert_eq!(watchers(&root), 1);
    drop(leaf);
    assert_eq!(watchers(&root), 0);
    assert_eq!(Arc::strong_count(&root), 1);
}

#[test]
fn a_node_and_its_hint_do_not_keep_each_other() {
    let hint = Node::new([None, None], Hint::None, None);
    let node = Node::new([None, None], Hint::Own(Arc::clone(&hint)), None);
    let below = Node::new([Some(&node), None], node.hint().inherit(), None);
    assert_eq!(Arc::strong_count(&hint), 3);
    drop((node, below));
    assert_eq!(Arc::strong_count(&hint), 1);
}
