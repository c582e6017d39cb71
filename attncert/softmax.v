(* A proved procedure for claims |f - T| <= eps about softmax heads of one or two inputs, on boxes.

   All of it is proved below from Coq's reals and CoqInterval's interval operations: derivatives of expressions,
   Taylor's formula of order 2, the step from the sign form to the quotient, the dropping of silent tokens, and a branch and
   bound, `search`, that evaluates to `true` only if the claim holds. What follows this part states one claim. *)

From Coq Require Import Reals ZArith List Lra.
From Interval Require Import Xreal Interval.Interval Float_full Primitive_ops Specific_bigint Specific_ops.
Import ListNotations.
Open Scope R_scope.

(* Expressions in at most two variables, and their partial derivatives. *)

Inductive expr : Set :=
| EX | EY | EPi
| ECst (n : Z) (d : positive)
| ENeg (a : expr) | EAbs (a : expr) | ESqrt (a : expr) | EExp (a : expr) | ELn (a : expr)
| ESin (a : expr) | ECos (a : expr) | EAtan (a : expr)
| EAdd (a b : expr) | ESub (a b : expr) | EMul (a b : expr) | EDiv (a b : expr)
| EPow (a : expr) (n : nat).

Definition rat (n : Z) (d : positive) : R :=
  match d with xH => IZR n | _ => IZR n / IZR (Zpos d) end.

Fixpoint eval (e : expr) (x y : R) : R :=
  match e with
  | EX => x | EY => y | EPi => PI
  | ECst n d => rat n d
  | ENeg a => - eval a x y
  | EAbs a => Rabs (eval a x y)
  | ESqrt a => sqrt (eval a x y)
  | EExp a => exp (eval a x y)
  | ELn a => ln (eval a x y)
  | ESin a => sin (eval a x y)
  | ECos a => cos (eval a x y)
  | EAtan a => atan (eval a x y)
  | EAdd a b => eval a x y + eval b x y
  | ESub a b => eval a x y - eval b x y
  | EMul a b => eval a x y * eval b x y
  | EDiv a b => eval a x y / eval b x y
  | EPow a n => eval a x y ^ n
  end.

(* Where an expression is differentiable by the rules below. *)
Fixpoint regular (e : expr) (x y : R) : Prop :=
  match e with
  | EX | EY | EPi | ECst _ _ => True
  | ENeg a | EExp a | ESin a | ECos a | EAtan a | EPow a _ => regular a x y
  | EAbs a => regular a x y /\ eval a x y <> 0
  | ESqrt a | ELn a => regular a x y /\ 0 < eval a x y
  | EAdd a b | ESub a b | EMul a b => regular a x y /\ regular b x y
  | EDiv a b => regular a x y /\ regular b x y /\ eval b x y <> 0
  end.

Notation zero := (ECst 0 1).
Notation one := (ECst 1 1).

Definition is_null (e : expr) : bool := match e with ECst Z0 _ => true | _ => false end.
Definition is_unit (e : expr) : bool := match e with ECst (Zpos xH) xH => true | _ => false end.
Definition add (a b : expr) : expr := if is_null a then b else if is_null b then a else EAdd a b.
Definition mul (a b : expr) : expr :=
  if is_null a then zero else if is_null b then zero else if is_unit a then b else EMul a b.
Definition neg (a : expr) : expr := if is_null a then zero else ENeg a.

Lemma eval_null e x y : is_null e = true -> eval e x y = 0.
Proof.
  destruct e as [| | |[| |] d| | | | | | | | | | | | |]; try discriminate; intros _; simpl.
  unfold rat, Rdiv; destruct d; rewrite ?Rmult_0_l; reflexivity.
Qed.

Lemma eval_unit e x y : is_unit e = true -> eval e x y = 1.
Proof. destruct e as [| | |[|[| |]|] [| |]| | | | | | | | | | | | |]; try discriminate; reflexivity. Qed.

Lemma eval_add a b x y : eval (add a b) x y = eval a x y + eval b x y.
Proof.
  unfold add; destruct (is_null a) eqn:A; [rewrite (eval_null a); [ring | assumption] |].
  destruct (is_null b) eqn:B; [rewrite (eval_null b); [ring | assumption] | reflexivity].
Qed.

Lemma eval_mul a b x y : eval (mul a b) x y = eval a x y * eval b x y.
Proof.
  unfold mul; destruct (is_null a) eqn:A; [rewrite (eval_null a); [simpl; ring | assumption] |].
  destruct (is_null b) eqn:B; [rewrite (eval_null b); [simpl; ring | assumption] |].
  destruct (is_unit a) eqn:C; [rewrite (eval_unit a); [ring | assumption] | reflexivity].
Qed.

Lemma eval_neg a x y : eval (neg a) x y = - eval a x y.
Proof. unfold neg; destruct (is_null a) eqn:A; [rewrite (eval_null a); [simpl; ring | assumption] | reflexivity]. Qed.

(* The partial derivative in the first variable (k = true) or the second. *)
Fixpoint diff (k : bool) (e : expr) : expr :=
  match e with
  | EX => if k then one else zero
  | EY => if k then zero else one
  | EPi | ECst _ _ => zero
  | ENeg a => neg (diff k a)
  | EAbs a => mul (diff k a) (EDiv a (EAbs a))
  | ESqrt a => mul (diff k a) (EDiv one (EMul (ECst 2 1) (ESqrt a)))
  | EExp a => mul (diff k a) (EExp a)
  | ELn a => mul (diff k a) (EDiv one a)
  | ESin a => mul (diff k a) (ECos a)
  | ECos a => neg (mul (diff k a) (ESin a))
  | EAtan a => mul (diff k a) (EDiv one (EAdd one (EPow a 2)))
  | EAdd a b => add (diff k a) (diff k b)
  | ESub a b => add (diff k a) (neg (diff k b))
  | EMul a b => add (mul (diff k a) b) (mul (diff k b) a)
  | EDiv a b => add (mul (diff k a) (EDiv one b)) (neg (mul (diff k b) (EDiv a (EPow b 2))))
  | EPow a n => mul (diff k a) (EMul (ECst (Z.of_nat n) 1) (EPow a (pred n)))
  end.

Notation D := derivable_pt_lim.

Lemma D_eq f t l l' : D f t l -> l = l' -> D f t l'.
Proof. now intros H <-. Qed.

Lemma D_chain f g t l l' : D g t l -> D f (g t) l' -> D (fun t => f (g t)) t (l' * l).
Proof. intros Hg Hf; exact (derivable_pt_lim_comp _ _ _ _ _ Hg Hf). Qed.

Lemma D_affine a u t : D (fun t => a + t * u) t u.
Proof.
  eapply D_eq.
  - apply (derivable_pt_lim_plus (fct_cte a) (fun t => t * u)).
    + apply derivable_pt_lim_const.
    + apply (derivable_pt_lim_mult id (fct_cte u)); [apply derivable_pt_lim_id | apply derivable_pt_lim_const].
  - unfold fct_cte, id; ring.
Qed.

(* Along a line the derivative is the combination of the partial ones. *)
Lemma D_line e a u b v t :
  let x t := a + t * u in let y t := b + t * v in
  regular e (x t) (y t) ->
  D (fun t => eval e (x t) (y t)) t
    (u * eval (diff true e) (x t) (y t) + v * eval (diff false e) (x t) (y t)).
Proof.
  intros x y; induction e; simpl; intros R;
    rewrite ?eval_add, ?eval_mul, ?eval_neg, ?eval_mul; simpl; unfold rat.
  - eapply D_eq; [apply D_affine | ring].
  - eapply D_eq; [apply D_affine | ring].
  - eapply D_eq; [apply (derivable_pt_lim_const PI) | ring].
  - eapply D_eq; [apply (derivable_pt_lim_const (rat n d)) | ring].
  - eapply D_eq; [apply (derivable_pt_lim_opp _ _ _ (IHe R)) | ring].
  - destruct R as [R N]; destruct (Rdichotomy _ _ N) as [S | S].
    + eapply D_eq; [apply (D_chain Rabs _ _ _ _ (IHe R) (Rabs_derive_2 _ S)) |].
      rewrite Rabs_left by assumption; field; assumption.
    + eapply D_eq; [apply (D_chain Rabs _ _ _ _ (IHe R) (Rabs_derive_1 _ S)) |].
      rewrite Rabs_right by (apply Rgt_ge; assumption); field; assumption.
  - destruct R as [R N]; eapply D_eq; [apply (D_chain sqrt _ _ _ _ (IHe R) (derivable_pt_lim_sqrt _ N)) |].
    field; apply Rgt_not_eq; apply sqrt_lt_R0; assumption.
  - eapply D_eq; [apply (D_chain exp _ _ _ _ (IHe R) (derivable_pt_lim_exp _)) | ring].
  - destruct R as [R N]; eapply D_eq; [apply (D_chain ln _ _ _ _ (IHe R) (derivable_pt_lim_ln _ N)) |].
    field; apply Rgt_not_eq; assumption.
  - eapply D_eq; [apply (D_chain sin _ _ _ _ (IHe R) (derivable_pt_lim_sin _)) | ring].
  - eapply D_eq; [apply (D_chain cos _ _ _ _ (IHe R) (derivable_pt_lim_cos _)) | ring].
  - eapply D_eq; [apply (D_chain atan _ _ _ _ (IHe R) (derivable_pt_lim_atan _)) |].
    unfold Rsqr; field. pose proof (Rle_0_sqr (eval e (x t) (y t))) as S; unfold Rsqr in S; lra.
  - destruct R as [R1 R2]; eapply D_eq; [apply (derivable_pt_lim_plus _ _ _ _ _ (IHe1 R1) (IHe2 R2)) | ring].
  - destruct R as [R1 R2]; eapply D_eq; [apply (derivable_pt_lim_minus _ _ _ _ _ (IHe1 R1) (IHe2 R2)) | ].
    rewrite ?eval_neg; ring.
  - destruct R as [R1 R2]; eapply D_eq; [apply (derivable_pt_lim_mult _ _ _ _ _ (IHe1 R1) (IHe2 R2)) | ].
    rewrite ?eval_mul; ring.
  - destruct R as (R1 & R2 & N).
    eapply D_eq; [apply (derivable_pt_lim_div _ _ _ _ _ (IHe1 R1) (IHe2 R2) N) |].
    rewrite ?eval_neg, ?eval_mul; simpl; unfold Rsqr, rat; field; assumption.
  - eapply D_eq; [apply (D_chain (fun z => z ^ n) _ _ _ _ (IHe R) (derivable_pt_lim_pow _ _)) |].
    rewrite INR_IZR_INZ; ring.
Qed.

(* Taylor's formula of order 2 on [0, 1], with Lagrange's remainder. *)
Lemma taylor g g' g'' :
  (forall t, 0 <= t <= 1 -> D g t (g' t)) -> (forall t, 0 <= t <= 1 -> D g' t (g'' t)) ->
  exists t, 0 <= t <= 1 /\ g 1 = g 0 + g' 0 + g'' t / 2.
Proof.
  intros H1 H2.
  pose (K := g 1 - g 0 - g' 0).
  pose (h := fun t => g t + (1 - t) * g' t + K * (1 - t) ^ 2).
  pose (h' := fun t => (1 - t) * (g'' t - 2 * K)).
  destruct (MVT_cor2 h h' 0 1 Rlt_0_1) as (t & E & T).
  - intros t T; unfold h, h'.
    assert (A : D (fun t => 1 - t) t (-1)).
    { eapply D_eq; [apply (derivable_pt_lim_minus (fct_cte 1) id);
        [apply derivable_pt_lim_const | apply derivable_pt_lim_id] | ring]. }
    eapply D_eq.
    + apply (derivable_pt_lim_plus (fun t => g t + (1 - t) * g' t) (fun t => K * (1 - t) ^ 2)).
      * apply (derivable_pt_lim_plus g (fun t => (1 - t) * g' t)); [apply (H1 t T) |].
        apply (derivable_pt_lim_mult (fun t => 1 - t) g'); [apply A | apply (H2 t T)].
      * apply (derivable_pt_lim_mult (fct_cte K) (fun t => (1 - t) ^ 2)); [apply derivable_pt_lim_const |].
        apply (D_chain (fun z => z ^ 2) (fun t => 1 - t) _ _ _ A (derivable_pt_lim_pow _ 2)).
    + unfold fct_cte; simpl; ring.
  - exists t; split; [lra |].
    unfold h, h', K in E; simpl in E.
    assert (Z : (1 - t) * (g'' t - 2 * (g 1 - g 0 - g' 0)) = 0) by lra.
    apply Rmult_integral in Z; destruct Z; lra.
Qed.

(* Sums over lists of tokens. *)

Fixpoint sum {T} (h : T -> R) (l : list T) : R := match l with [] => 0 | t :: l => h t + sum h l end.

Lemma sum_ext {T} (h k : T -> R) l : (forall t, h t = k t) -> sum h l = sum k l.
Proof. intros E; induction l; simpl; [reflexivity | now rewrite E, IHl]. Qed.

Lemma sum_scale {T} (h : T -> R) c l : sum (fun t => c * h t) l = c * sum h l.
Proof. induction l; simpl; [ring | rewrite IHl; ring]. Qed.

Lemma sum_nonneg {T} (h : T -> R) l : (forall t, 0 <= h t) -> 0 <= sum h l.
Proof. intros H; induction l; simpl; [lra | specialize (H a); lra]. Qed.

Lemma sum_le {T} (h k : T -> R) l : (forall t, h t <= k t) -> sum h l <= sum k l.
Proof. intros H; induction l; simpl; [lra | specialize (H a); lra]. Qed.

Lemma D_sum {T} (h h' : T -> R -> R) t l :
  (forall i, D (h i) t (h' i t)) -> D (fun t => sum (fun i => h i t) l) t (sum (fun i => h' i t) l).
Proof.
  intros H; induction l; simpl; [apply (derivable_pt_lim_const 0) |].
  apply (derivable_pt_lim_plus (h a) (fun t => sum (fun i => h i t) l)); [apply H | apply IHl].
Qed.

(* A token: its score a x + b y + c, and its value. *)
Record token := Token { ka : R; kb : R; kc : R; value : R }.
Definition score (t : token) (x y : R) : R := ka t * x + kb t * y + kc t.

(* The sign form: |f - T| <= e at a point, for both signs, without a quotient. *)
Definition sign_form (l : list token) (f e x y : R) : Prop :=
  forall s, s = 1 \/ s = -1 -> 0 <= sum (fun t => (e + s * (f - value t)) * exp (score t x y)) l.

Lemma sum_split l f e s x y :
  sum (fun t => (e + s * (f - value t)) * exp (score t x y)) l =
  e * sum (fun t => exp (score t x y)) l +
  s * (f * sum (fun t => exp (score t x y)) l - sum (fun t => exp (score t x y) * value t) l).
Proof. induction l; simpl; [ring | rewrite IHl; ring]. Qed.

Lemma weights_positive l x y : l <> [] -> 0 < sum (fun t => exp (score t x y)) l.
Proof.
  destruct l as [| t l]; [easy |]; intros _; simpl.
  apply Rplus_lt_le_0_compat; [apply exp_pos |].
  apply sum_nonneg; intros; apply Rlt_le, exp_pos.
Qed.

(* The step from the sign form to the quotient. *)
Lemma quotient l f e x y :
  l <> [] -> sign_form l f e x y ->
  Rabs (f - sum (fun t => exp (score t x y) * value t) l / sum (fun t => exp (score t x y)) l) <= e.
Proof.
  intros N H; pose proof (weights_positive l x y N) as P.
  pose proof (H 1 (or_introl eq_refl)) as H1; pose proof (H (-1) (or_intror eq_refl)) as H2.
  rewrite sum_split in H1, H2.
  set (S := sum (fun t => exp (score t x y)) l) in *; set (V := sum (fun t => exp (score t x y) * value t) l) in *.
  assert (E : f - V / S = (f * S - V) / S) by (field; lra).
  rewrite E; apply Rabs_le; split; apply (Rmult_le_reg_r S _ _ P); unfold Rdiv; rewrite Rmult_assoc, Rinv_l; lra.
Qed.

Lemma quotient_false l f e x y s :
  l <> [] -> s = 1 \/ s = -1 -> sum (fun t => (e + s * (f - value t)) * exp (score t x y)) l < 0 ->
  e < Rabs (f - sum (fun t => exp (score t x y) * value t) l / sum (fun t => exp (score t x y)) l).
Proof.
  intros N Hs H; pose proof (weights_positive l x y N) as P.
  rewrite sum_split in H.
  set (S := sum (fun t => exp (score t x y)) l) in *; set (V := sum (fun t => exp (score t x y) * value t) l) in *.
  assert (E : f - V / S = (f * S - V) / S) by (field; lra).
  rewrite E; destruct Hs as [-> | ->];
    [apply Rlt_le_trans with (- ((f * S - V) / S)) | apply Rlt_le_trans with ((f * S - V) / S)].
  - apply (Rmult_lt_reg_r S _ _ P); unfold Rdiv; rewrite Ropp_mult_distr_l, Rmult_assoc, Rinv_l; lra.
  - rewrite <- Rabs_Ropp; apply Rle_abs.
  - apply (Rmult_lt_reg_r S _ _ P); unfold Rdiv; rewrite Rmult_assoc, Rinv_l; lra.
  - apply Rle_abs.
Qed.

(* Order 2: with weights p_i e^(A_i u + B_i v) and values V_i, the sign form along a segment. *)
Record weighted := Weighted { wA : R; wB : R; wV : R; wp : R }.

Section Expansion.
Variables (F : expr) (l : list weighted) (cx cy u v e s m : R).

Definition at_ (g : expr) (t : R) : R := eval g (cx + t * u) (cy + t * v).
Definition slope (i : weighted) : R := wA i * u + wB i * v.
Definition weight (t : R) (i : weighted) : R := wp i * exp (t * slope i).
Definition moment (h : weighted -> R) (t : R) : R := sum (fun i => h i * weight t i) l.

Definition c0 (t : R) : R :=
  e * moment (fun _ => 1) t + s * ((at_ F t - m) * moment (fun _ => 1) t - moment wV t).
Definition c1 (w : weighted -> R) (k : bool) (t : R) : R :=
  e * moment w t + s * (at_ (diff k F) t * moment (fun _ => 1) t + (at_ F t - m) * moment w t
    - moment (fun i => wV i * w i) t).
Definition c2 (w w' : weighted -> R) (k k' : bool) (t : R) : R :=
  e * moment (fun i => w i * w' i) t
  + s * (at_ (diff k' (diff k F)) t * moment (fun _ => 1) t
    + (at_ (diff k F) t * moment w' t + at_ (diff k' F) t * moment w t)
    + (at_ F t - m) * moment (fun i => w i * w' i) t - moment (fun i => wV i * (w i * w' i)) t).

Hypothesis smooth : forall t, 0 <= t <= 1 ->
  regular F (cx + t * u) (cy + t * v) /\ regular (diff true F) (cx + t * u) (cy + t * v)
  /\ regular (diff false F) (cx + t * u) (cy + t * v).

Lemma expansion : exists t, 0 <= t <= 1 /\
  c0 1 = c0 0 + (u * c1 wA true 0 + v * c1 wB false 0)
    + ((u * u) * c2 wA wA true true t + (v * v) * c2 wB wB false false t
       + (u * v) * (c2 wA wB true false t + c2 wB wA false true t)) / 2.
Proof.
  pose (f t := at_ F t - m).
  pose (f1 t := u * at_ (diff true F) t + v * at_ (diff false F) t).
  pose (f2 t := u * (u * at_ (diff true (diff true F)) t + v * at_ (diff false (diff true F)) t)
              + v * (u * at_ (diff true (diff false F)) t + v * at_ (diff false (diff false F)) t)).
  assert (Df : forall t, 0 <= t <= 1 -> D f t (f1 t)).
  { intros t T; unfold f, f1, at_; eapply D_eq.
    - apply (derivable_pt_lim_minus (fun t => eval F (cx + t * u) (cy + t * v)) (fct_cte m));
        [apply D_line; apply (smooth t T) | apply derivable_pt_lim_const].
    - ring. }
  assert (Df1 : forall t, 0 <= t <= 1 -> D f1 t (f2 t)).
  { intros t T; unfold f1, f2, at_; eapply D_eq.
    - apply (derivable_pt_lim_plus (fun t => u * eval (diff true F) (cx + t * u) (cy + t * v))
        (fun t => v * eval (diff false F) (cx + t * u) (cy + t * v)));
        apply derivable_pt_lim_scal; apply D_line; apply (smooth t T).
    - ring. }
  assert (Dw : forall i t, D (fun t => weight t i) t (slope i * weight t i)).
  { intros i t; unfold weight; eapply D_eq.
    - apply derivable_pt_lim_scal.
      apply (D_chain exp (fun t => t * slope i)).
      + apply (derivable_pt_lim_mult id (fct_cte (slope i)));
          [apply derivable_pt_lim_id | apply derivable_pt_lim_const].
      + apply derivable_pt_lim_exp.
    - unfold fct_cte, id; ring. }
  pose (g i t := (e + s * (f t - wV i)) * weight t i).
  pose (g1 i t := s * f1 t * weight t i + (e + s * (f t - wV i)) * (slope i * weight t i)).
  pose (g2 i t := s * f2 t * weight t i + 2 * (s * f1 t * (slope i * weight t i))
                  + (e + s * (f t - wV i)) * (slope i * (slope i * weight t i))).
  assert (Dc : forall i t, 0 <= t <= 1 -> D (fun t => e + s * (f t - wV i)) t (s * f1 t)).
  { intros i t T; eapply D_eq.
    - apply (derivable_pt_lim_plus (fct_cte e) (fun t => s * (f t - wV i))); [apply derivable_pt_lim_const |].
      apply derivable_pt_lim_scal.
      apply (derivable_pt_lim_minus f (fct_cte (wV i))); [apply (Df t T) | apply derivable_pt_lim_const].
    - ring. }
  destruct (taylor (fun t => sum (fun i => g i t) l) (fun t => sum (fun i => g1 i t) l)
                   (fun t => sum (fun i => g2 i t) l)) as (t & T & E).
  - intros t T; apply D_sum; intros i; unfold g, g1.
    apply (derivable_pt_lim_mult (fun t => e + s * (f t - wV i)) (fun t => weight t i)); [apply (Dc i t T) | apply Dw].
  - intros t T; apply D_sum; intros i; unfold g1, g2; eapply D_eq.
    + apply (derivable_pt_lim_plus (fun t => s * f1 t * weight t i)
        (fun t => (e + s * (f t - wV i)) * (slope i * weight t i))).
      * apply (derivable_pt_lim_mult (fun t => s * f1 t) (fun t => weight t i));
          [apply derivable_pt_lim_scal; apply (Df1 t T) | apply Dw].
      * apply (derivable_pt_lim_mult (fun t => e + s * (f t - wV i)) (fun t => slope i * weight t i));
          [apply (Dc i t T) | apply derivable_pt_lim_scal; apply Dw].
    + ring.
  - exists t; split; [assumption |].
    assert (E0 : forall t, sum (fun i => g i t) l = c0 t).
    { intros; unfold c0, moment, g, f; clear; induction l; simpl; [ring | rewrite IHl0; ring]. }
    assert (E1 : forall t, sum (fun i => g1 i t) l = u * c1 wA true t + v * c1 wB false t).
    { intros; unfold c1, moment, g1, f, f1, slope; clear; induction l; simpl; [ring | rewrite IHl0; ring]. }
    assert (E2 : forall t, sum (fun i => g2 i t) l =
      (u * u) * c2 wA wA true true t + (v * v) * c2 wB wB false false t
       + (u * v) * (c2 wA wB true false t + c2 wB wA false true t)).
    { intros; unfold c2, moment, g2, f, f1, f2, slope; clear; induction l; simpl; [ring | rewrite IHl0; ring]. }
    now rewrite !E0, E1, E2 in E.
Qed.
End Expansion.

Lemma sum_map {S T} (h : T -> R) (k : S -> T) l : sum h (map k l) = sum (fun i => h (k i)) l.
Proof. induction l; simpl; [reflexivity | now rewrite IHl]. Qed.

(* Dropping tokens whose weights are small beside that of token r. *)
Lemma drop_correct r kept dropped rest f e x y :
  (forall h, sum h rest = sum h kept + sum h dropped) -> 0 <= e ->
  sign_form (r :: kept) f
    (e - sum (fun t => Rabs (f - value t) * exp (score t x y - score r x y)) dropped) x y ->
  sign_form (r :: rest) f e x y.
Proof.
  intros S P H s Hs; specialize (H s Hs); simpl in *; rewrite S.
  set (d := sum (fun t => Rabs (f - value t) * exp (score t x y - score r x y)) dropped) in *.
  assert (N : 0 <= d).
  { apply sum_nonneg; intros; apply Rmult_le_pos; [apply Rabs_pos | apply Rlt_le, exp_pos]. }
  assert (E : d * exp (score r x y) = sum (fun t => Rabs (f - value t) * exp (score t x y)) dropped).
  { unfold d; clear; induction dropped; simpl; [ring |].
    rewrite Rmult_plus_distr_r, IHdropped, Rmult_assoc, <- exp_plus; do 4 f_equal; ring. }
  assert (L : - (d * exp (score r x y)) <= sum (fun t => (e + s * (f - value t)) * exp (score t x y)) dropped).
  { rewrite E, <- (Rmult_1_l (sum _ _)), Ropp_mult_distr_l, <- sum_scale; apply sum_le; intros t.
    rewrite <- Rmult_assoc; apply Rmult_le_compat_r; [apply Rlt_le, exp_pos |].
    pose proof (Rle_abs (f - value t)); pose proof (Rle_abs (- (f - value t))) as A; rewrite Rabs_Ropp in A.
    destruct Hs as [-> | ->]; lra. }
  assert (K : forall h, sum (fun t => (e - d + s * (f - value t)) * h t) kept
                        = sum (fun t => (e + s * (f - value t)) * h t) kept - d * sum h kept).
  { intros h; clear; induction kept; simpl; [ring | rewrite IHkept; ring]. }
  rewrite K in H.
  pose proof (sum_nonneg (fun t => exp (score t x y)) kept (fun t => Rlt_le _ _ (exp_pos _))) as Q.
  pose proof (Rmult_le_pos _ _ N Q); lra.
Qed.

(* The sign form about a centre, for weights relative to token r and a mean slope and value. *)
Lemma recentre l r F e cx cy x y al be m :
  let w := map (fun t => Weighted (ka t - al) (kb t - be) (value t - m)
                 (exp (score t cx cy - score r cx cy))) l in
  (forall s, s = 1 \/ s = -1 -> 0 <= c0 F w cx cy (x - cx) (y - cy) e s m 1) ->
  sign_form l (eval F x y) e x y.
Proof.
  intros w H s Hs; specialize (H s Hs).
  set (K := exp (score r cx cy + al * (x - cx) + be * (y - cy))).
  assert (E : sum (fun t => (e + s * (eval F x y - value t)) * exp (score t x y)) l
              = K * c0 F w cx cy (x - cx) (y - cy) e s m 1).
  { unfold c0, moment, at_, w; rewrite !sum_map; unfold weight, slope; simpl.
    replace (cx + 1 * (x - cx)) with x by ring; replace (cy + 1 * (y - cy)) with y by ring.
    clear; induction l as [| t l IH]; simpl; [ring | rewrite IH].
    assert (X : exp (score t x y) = K * (exp (score t cx cy - score r cx cy)
              * exp (1 * ((ka t - al) * (x - cx) + (kb t - be) * (y - cy))))).
    { unfold K; rewrite <- !exp_plus; f_equal; unfold score; ring. }
    rewrite X; ring. }
  rewrite E; apply Rmult_le_pos; [apply Rlt_le, exp_pos | assumption].
Qed.

(* Heads as data: key in x, key in y (none in one dimension), bias and value of each token. *)
Notation number := (Z * positive)%type.
Record datum := Datum { key_x : number; key_y : option number; bias : number; worth : number }.
Definition ratio (p : number) : R := rat (fst p) (snd p).

Definition points (d : datum) (x y : R) : R :=
  match key_y d with
  | Some b => ratio (key_x d) * x + ratio b * y + ratio (bias d)
  | None => ratio (key_x d) * x + ratio (bias d)
  end.
Definition token_of (d : datum) : token :=
  Token (ratio (key_x d)) (match key_y d with Some b => ratio b | None => 0 end) (ratio (bias d)) (ratio (worth d)).

Definition total (h : datum -> R) (l : list datum) : R :=
  match l with [] => 0 | d :: l => fold_left (fun a d => a + h d) l (h d) end.
Definition mean_of (l : list datum) (x y : R) : R :=
  total (fun d => exp (points d x y) * ratio (worth d)) l / total (fun d => exp (points d x y)) l.

Lemma total_sum h k l : (forall d, h d = k (token_of d)) -> total h l = sum k (map token_of l).
Proof.
  intros E; destruct l as [| d l]; [reflexivity |]; simpl; rewrite <- E; generalize (h d) as a.
  induction l as [| b l IH]; intros a; simpl; [ring | rewrite IH, <- E; ring].
Qed.

Lemma mean_of_correct l x y :
  mean_of l x y = sum (fun t => exp (score t x y) * value t) (map token_of l)
                  / sum (fun t => exp (score t x y)) (map token_of l).
Proof.
  assert (E : forall d, points d x y = score (token_of d) x y).
  { intros d; unfold points, score; destruct d as [a [b |] c v]; simpl; ring. }
  unfold mean_of; f_equal; [| f_equal]; apply total_sum; intros d; now rewrite E.
Qed.

(* The search: boxes are halved until interval arithmetic shows the sign form on each. *)
Module Search (I : IntervalOps).

Definition has (X : I.type) (x : R) : Prop := contains (I.convert X) (Xreal x).

Record itoken := IToken { iA : I.type; iB : I.type; iC : I.type; iV : I.type }.
Record iweighted := IWeighted { jA : I.type; jB : I.type; jV : I.type; jp : I.type; jw : I.type }.

Section Fixed.
Variable prec : I.precision.

Notation "X [+] Y" := (I.add prec X Y) (at level 50, left associativity).
Notation "X [-] Y" := (I.sub prec X Y) (at level 50, left associativity).
Notation "X [*] Y" := (I.mul prec X Y) (at level 40, left associativity).

Definition irat (n : Z) (d : positive) : I.type :=
  match d with xH => I.fromZ prec n | _ => I.div prec (I.fromZ prec n) (I.fromZ prec (Zpos d)) end.

Fixpoint ieval (e : expr) (X Y : I.type) : I.type :=
  match e with
  | EX => X | EY => Y | EPi => I.pi prec
  | ECst n d => irat n d
  | ENeg a => I.neg (ieval a X Y)
  | EAbs a => I.abs (ieval a X Y)
  | ESqrt a => I.sqrt prec (ieval a X Y)
  | EExp a => I.exp prec (ieval a X Y)
  | ELn a => I.ln prec (ieval a X Y)
  | ESin a => I.sin prec (ieval a X Y)
  | ECos a => I.cos prec (ieval a X Y)
  | EAtan a => I.atan prec (ieval a X Y)
  | EAdd a b => ieval a X Y [+] ieval b X Y
  | ESub a b => ieval a X Y [-] ieval b X Y
  | EMul a b => ieval a X Y [*] ieval b X Y
  | EDiv a b => I.div prec (ieval a X Y) (ieval b X Y)
  | EPow a n => I.power_int prec (ieval a X Y) (Z.of_nat n)
  end.

Definition nonneg (X : I.type) : bool := match I.sign_large X with Xgt | Xeq => true | _ => false end.
Definition above (X : I.type) : bool := match I.sign_strict X with Xgt => true | _ => false end.
Definition below (X : I.type) : bool := match I.sign_strict X with Xlt => true | _ => false end.
Definition nonzero (X : I.type) : bool := if above X then true else below X.

Fixpoint iregular (e : expr) (X Y : I.type) : bool :=
  match e with
  | EX | EY | EPi | ECst _ _ => true
  | ENeg a | EExp a | ESin a | ECos a | EAtan a | EPow a _ => iregular a X Y
  | EAbs a => if iregular a X Y then nonzero (ieval a X Y) else false
  | ESqrt a | ELn a => if iregular a X Y then above (ieval a X Y) else false
  | EAdd a b | ESub a b | EMul a b => if iregular a X Y then iregular b X Y else false
  | EDiv a b =>
      if iregular a X Y then if iregular b X Y then nonzero (ieval b X Y) else false else false
  end.

Lemma any_has X x : contains (I.convert X) Xnan -> has X x.
Proof. unfold has; now destruct (I.convert X). Qed.

Lemma add_has X Y x y : has X x -> has Y y -> has (X [+] Y) (x + y).
Proof. exact (I.add_correct prec X Y (Xreal x) (Xreal y)). Qed.
Lemma sub_has X Y x y : has X x -> has Y y -> has (X [-] Y) (x - y).
Proof. exact (I.sub_correct prec X Y (Xreal x) (Xreal y)). Qed.
Lemma mul_has X Y x y : has X x -> has Y y -> has (X [*] Y) (x * y).
Proof. exact (I.mul_correct prec X Y (Xreal x) (Xreal y)). Qed.
Lemma div_has X Y x y : has X x -> has Y y -> has (I.div prec X Y) (x / y).
Proof.
  intros HX HY; pose proof (I.div_correct prec X Y (Xreal x) (Xreal y) HX HY) as H.
  simpl in H; unfold Xdiv' in H; destruct (is_zero y); [now apply any_has | exact H].
Qed.
Lemma abs_has X x : has X x -> has (I.abs X) (Rabs x).
Proof. exact (I.abs_correct X (Xreal x)). Qed.
Lemma exp_has X x : has X x -> has (I.exp prec X) (exp x).
Proof. exact (I.exp_correct prec X (Xreal x)). Qed.

Lemma irat_has n d : has (irat n d) (rat n d).
Proof. unfold irat, rat; destruct d; try apply I.fromZ_correct; apply div_has; apply I.fromZ_correct. Qed.

Lemma zero_has : has I.zero 0.
Proof. unfold has; rewrite I.zero_correct; simpl; lra. Qed.

Lemma ieval_correct e X Y x y : has X x -> has Y y -> has (ieval e X Y) (eval e x y).
Proof.
  intros HX HY; induction e; simpl; try assumption.
  - apply I.pi_correct.
  - apply irat_has.
  - exact (I.neg_correct _ (Xreal _) IHe).
  - now apply abs_has.
  - exact (I.sqrt_correct prec _ (Xreal _) IHe).
  - now apply exp_has.
  - pose proof (I.ln_correct prec _ (Xreal _) IHe) as H; simpl in H; unfold Xln' in H.
    destruct (is_positive (eval e x y)); [exact H | now apply any_has].
  - exact (I.sin_correct prec _ (Xreal _) IHe).
  - exact (I.cos_correct prec _ (Xreal _) IHe).
  - exact (I.atan_correct prec _ (Xreal _) IHe).
  - now apply add_has.
  - now apply sub_has.
  - now apply mul_has.
  - now apply div_has.
  - pose proof (I.power_int_correct prec (Z.of_nat n) _ (Xreal _) IHe) as H.
    destruct n as [| n]; [exact H |].
    cbn -[pow Pos.to_nat] in H; rewrite SuccNat2Pos.id_succ in H; exact H.
Qed.

Lemma nonneg_correct X x : nonneg X = true -> has X x -> 0 <= x.
Proof.
  unfold nonneg; intros N H; pose proof (I.sign_large_correct X) as S.
  destruct (I.sign_large X); try discriminate; specialize (S _ H).
  - injection S as ->; lra.
  - apply S.
Qed.
Lemma above_correct X x : above X = true -> has X x -> 0 < x.
Proof.
  unfold above; intros N H; pose proof (I.sign_strict_correct X) as S.
  destruct (I.sign_strict X); try discriminate; apply (S _ H).
Qed.
Lemma below_correct X x : below X = true -> has X x -> x < 0.
Proof.
  unfold below; intros N H; pose proof (I.sign_strict_correct X) as S.
  destruct (I.sign_strict X); try discriminate; apply (S _ H).
Qed.
Lemma nonzero_correct X x : nonzero X = true -> has X x -> x <> 0.
Proof.
  unfold nonzero; destruct (above X) eqn:P; intros N H.
  - apply Rgt_not_eq; now apply (above_correct X).
  - apply Rlt_not_eq; now apply (below_correct X).
Qed.

Lemma iregular_correct e X Y x y : has X x -> has Y y -> iregular e X Y = true -> regular e x y.
Proof.
  intros HX HY; induction e; simpl; auto; intros H;
    repeat match type of H with (if ?b then _ else _) = true => destruct b eqn:?; [| discriminate] end;
    repeat split; auto;
    try (now apply (nonzero_correct _ _ H), ieval_correct); now apply (above_correct _ _ H), ieval_correct.
Qed.

(* Tokens. *)

Definition rel (i : itoken) (t : token) : Prop :=
  has (iA i) (ka t) /\ has (iB i) (kb t) /\ has (iC i) (kc t) /\ has (iV i) (value t).

(* The score of i less that of r. *)
Definition lead (i r : itoken) (X Y : I.type) : I.type :=
  ((iA i [-] iA r) [*] X [+] (iB i [-] iB r) [*] Y) [+] (iC i [-] iC r).

Lemma lead_has i r t q X Y x y :
  rel i t -> rel r q -> has X x -> has Y y -> has (lead i r X Y) (score t x y - score q x y).
Proof.
  intros (A & B & C & _) (A' & B' & C' & _) HX HY; unfold lead, score.
  replace (ka t * x + kb t * y + kc t - (ka q * x + kb q * y + kc q))
    with (((ka t - ka q) * x + (kb t - kb q) * y) + (kc t - kc q)) by ring.
  repeat (apply add_has || apply mul_has || apply sub_has); assumption.
Qed.

Fixpoint isum {S} (h : S -> I.type) (l : list S) : I.type :=
  match l with [] => I.zero | i :: l => h i [+] isum h l end.

Lemma isum_has {S T} (P : S -> T -> Prop) (h : S -> I.type) (k : T -> R) l m :
  Forall2 P l m -> (forall i t, P i t -> has (h i) (k t)) -> has (isum h l) (sum k m).
Proof. intros H K; induction H; simpl; [apply zero_has | apply add_has; auto]. Qed.

(* The best token at a point, and the others. *)
Fixpoint first (i : itoken) (l : list itoken) (X Y : I.type) : itoken * list itoken :=
  match l with
  | [] => (i, [])
  | h :: l =>
      if above (lead h i X Y)
      then let (r, k) := first h l X Y in (r, i :: k)
      else let (r, k) := first i l X Y in (r, h :: k)
  end.

Lemma first_correct X Y l m : Forall2 rel l m -> forall i t, rel i t ->
  let (r, k) := first i l X Y in
  exists q n, rel r q /\ Forall2 rel k n /\ forall h, sum h (t :: m) = sum h (q :: n).
Proof.
  induction 1 as [| j p l m J H IH]; intros i t E; simpl.
  - exists t, []; split; [assumption | split; [constructor | reflexivity]].
  - destruct (above (lead j i X Y)).
    + specialize (IH j p J); destruct (first j l X Y) as [r k]; destruct IH as (q & n & Q & N & S).
      exists q, (t :: n); split; [assumption | split; [now constructor |]].
      intros h; simpl; specialize (S h); simpl in S; lra.
    + specialize (IH i t E); destruct (first i l X Y) as [r k]; destruct IH as (q & n & Q & N & S).
      exists q, (p :: n); split; [assumption | split; [now constructor |]].
      intros h; simpl; specialize (S h); simpl in S; lra.
Qed.

(* Tokens that stay silent on a box are dropped, at the price of a part of the tolerance. *)
Variable silence : I.type.

Fixpoint drop (r : itoken) (l : list itoken) (G X Y : I.type) : list itoken * I.type :=
  match l with
  | [] => ([], I.zero)
  | i :: l =>
      let (k, z) := drop r l G X Y in
      let d := lead i r X Y in
      if below (d [+] silence) then (k, (I.abs (G [-] iV i) [*] I.exp prec d) [+] z) else (i :: k, z)
  end.

Lemma drop_has r q G g X Y x y l m :
  rel r q -> has G g -> has X x -> has Y y -> Forall2 rel l m ->
  let (k, z) := drop r l G X Y in
  exists kept dropped, Forall2 rel k kept /\ (forall h, sum h m = sum h kept + sum h dropped) /\
    has z (sum (fun t => Rabs (g - value t) * exp (score t x y - score q x y)) dropped).
Proof.
  intros Hr HG HX HY H; induction H as [| i t l m E H IH]; simpl.
  - exists [], []; split; [constructor | split; [intros; simpl; ring | apply zero_has]].
  - destruct (drop r l G X Y) as [k z]; destruct IH as (kept & dropped & K & S & Z).
    destruct (below (lead i r X Y [+] silence)).
    + exists kept, (t :: dropped); split; [assumption | split; [intros; simpl; rewrite S; ring |]].
      simpl; apply add_has; [apply mul_has | assumption].
      * apply abs_has, sub_has; [assumption | apply E].
      * apply exp_has; now apply lead_has.
    + exists (t :: kept), dropped; split; [now constructor | split; [intros; simpl; rewrite S; ring | assumption]].
Qed.

(* Order 0: scores and target range over the box independently. *)
Definition order0 (r : itoken) (l : list itoken) (G e X Y : I.type) : bool :=
  let w := map (fun i => (G [-] iV i, I.exp prec (lead i r X Y))) l in
  if nonneg (isum (fun p => (e [+] fst p) [*] snd p) w)
  then nonneg (isum (fun p => (e [-] fst p) [*] snd p) w) else false.

Lemma order0_correct r q G g e_ e X Y x y l m :
  rel r q -> has G g -> has e_ e -> has X x -> has Y y -> Forall2 rel l m ->
  order0 r l G e_ X Y = true -> sign_form m g e x y.
Proof.
  intros Hr HG He HX HY H; unfold order0.
  set (w := map (fun i => (G [-] iV i, I.exp prec (lead i r X Y))) l).
  set (v := map (fun t => (g - value t, exp (score t x y - score q x y))) m).
  assert (W : Forall2 (fun p a => has (fst p) (fst a) /\ has (snd p) (snd a)) w v).
  { unfold w, v; clear w v; induction H as [| i t l m E H IH]; simpl; constructor; auto; simpl; split.
    - apply sub_has; [assumption | apply E].
    - apply exp_has; now apply lead_has. }
  assert (S : forall s, sum (fun t => (e + s * (g - value t)) * exp (score t x y)) m
              = (exp (score q x y) * sum (fun a => (e + s * fst a) * snd a) v)).
  { intros s; unfold v; clear; induction m as [| t m IH]; simpl; [ring |].
    rewrite IH; replace (score t x y) with (score q x y + (score t x y - score q x y)) at 1 by ring.
    rewrite exp_plus; ring. }
  intros B s Hs; rewrite S; apply Rmult_le_pos; [apply Rlt_le, exp_pos |].
  destruct (nonneg (isum (fun p => (e_ [+] fst p) [*] snd p) w)) eqn:N1; [| discriminate].
  destruct Hs as [-> | ->].
  - apply (nonneg_correct _ _ N1), (isum_has _ _ _ _ _ W); intros p a [P Q]; apply mul_has; auto.
    apply add_has; auto; replace (1 * fst a) with (fst a) by ring; assumption.
  - apply (nonneg_correct _ _ B), (isum_has _ _ _ _ _ W); intros p a [P Q]; apply mul_has; auto.
    replace (e + -1 * fst a) with (e - fst a) by ring; now apply sub_has.
Qed.

(* Order 2: the expansion about the centre of the box. *)

Lemma sqr_has X x : has X x -> has (I.sqr prec X) (x * x).
Proof. exact (I.sqr_correct prec X (Xreal x)). Qed.

Lemma convex X a b x : has X a -> has X b -> a <= x <= b -> has X x.
Proof.
  unfold has, contains; destruct (I.convert X) as [| [| p] [| q]]; simpl; auto; intros [] [] []; split; auto; lra.
Qed.

Definition centre (X : I.type) : I.type := I.singleton (I.midpoint X).

Lemma centre_has X x : has X x -> exists c, has (centre X) c /\ has X c.
Proof.
  intros H; destruct (I.midpoint_correct X (ex_intro _ x H)) as [E C].
  exists (proj_val (I.F.convert (I.midpoint X))); split; [apply I.singleton_correct | unfold has; now rewrite <- E].
Qed.

Variable F : expr.

Definition expand (al be m U V : I.type) (ps : list (itoken * I.type)) : list iweighted :=
  map (fun p =>
    let A := iA (fst p) [-] al in let B := iB (fst p) [-] be in
    IWeighted A B (iV (fst p) [-] m) (snd p) (snd p [*] I.exp prec (A [*] U [+] B [*] V))) ps.

Definition order2 (r : itoken) (l : list itoken) (e X Y : I.type) : bool :=
  if iregular F X Y then if iregular (diff true F) X Y then if iregular (diff false F) X Y then
  let CX := centre X in let CY := centre Y in
  let U := X [-] CX in let V := Y [-] CY in
  let ps := map (fun i => (i, I.exp prec (lead i r CX CY))) l in
  let M := isum snd ps in
  let mean h := I.div prec (isum (fun p => h (fst p) [*] snd p) ps) M in
  let m := mean iV in
  let js := expand (mean iA) (mean iB) m U V ps in
  let mom h g := isum (fun j => h j [*] g j) js in
  let f := ieval F CX CY [-] m in
  let P := isum jp js in
  let n0 := f [*] P [-] mom jV jp in
  let n1 (w : iweighted -> I.type) k :=
    (ieval (diff k F) CX CY [*] P [+] f [*] mom w jp) [-] mom (fun j => jV j [*] w j) jp in
  let g := ieval F X Y [-] m in
  let W := isum jw js in let WA := mom jA jw in let WB := mom jB jw in
  let gx := ieval (diff true F) X Y in let gy := ieval (diff false F) X Y in
  let n2 (gk gl Wk Wl : I.type) (w w' : iweighted -> I.type) k k' :=
    (((ieval (diff k' (diff k F)) X Y [*] W) [+] (gk [*] Wl [+] gl [*] Wk))
      [+] g [*] mom (fun j => w j [*] w' j) jw) [-] mom (fun j => jV j [*] (w j [*] w' j)) jw in
  let e0 := e [*] P in let eA := e [*] mom jA jp in let eB := e [*] mom jB jp in
  let eAA := e [*] mom (fun j => jA j [*] jA j) jw in
  let eAB := e [*] mom (fun j => jA j [*] jB j) jw in
  let eBA := e [*] mom (fun j => jB j [*] jA j) jw in
  let eBB := e [*] mom (fun j => jB j [*] jB j) jw in
  let nA := n1 jA true in let nB := n1 jB false in
  let nAA := n2 gx gx WA WA jA jA true true in
  let nAB := n2 gx gy WA WB jA jB true false in
  let nBA := n2 gy gx WB WA jB jA false true in
  let nBB := n2 gy gy WB WB jB jB false false in
  let half := irat 1 2 in
  let form (op : I.type -> I.type -> I.type) :=
    nonneg ((op e0 n0 [+] (U [*] op eA nA [+] V [*] op eB nB)) [+]
      ((I.sqr prec U [*] op eAA nAA [+] I.sqr prec V [*] op eBB nBB)
        [+] (U [*] V) [*] (op eAB nAB [+] op eBA nBA)) [*] half) in
  if form (fun a b => a [+] b) then form (fun a b => a [-] b) else false
  else false else false else false.

Definition relw (u v : R) (j : iweighted) (i : weighted) : Prop :=
  has (jA j) (wA i) /\ has (jB j) (wB i) /\ has (jV j) (wV i) /\ has (jp j) (weight u v 0 i) /\
  forall t, 0 <= t <= 1 -> has (jw j) (weight u v t i).

Ltac enclose op at_centre on_box :=
  repeat match goal with
  | |- has _ (_ + 1 * _) => apply op
  | |- has _ (_ + -1 * _) => apply op
  | |- has _ (_ + _) => apply add_has
  | |- has _ (_ - _) => apply sub_has
  | |- has (I.sqr _ _) _ => apply sqr_has
  | |- has _ (_ * _) => apply mul_has
  | |- has _ (moment _ _ _ (fun _ => 1) _) => assumption
  | |- has _ (moment _ _ _ _ 0) => apply at_centre; intros
  | |- has _ (moment _ _ _ _ _) => apply on_box; intros
  end; auto.

Lemma order2_correct r q e_ e X Y x y l n :
  rel r q -> has e_ e -> has X x -> has Y y -> Forall2 rel l n ->
  order2 r l e_ X Y = true -> sign_form n (eval F x y) e x y.
Proof.
  intros Hr He HX HY H; unfold order2.
  destruct (iregular F X Y) eqn:R0; [| discriminate].
  destruct (iregular (diff true F) X Y) eqn:R1; [| discriminate].
  destruct (iregular (diff false F) X Y) eqn:R2; [| discriminate].
  destruct (centre_has X x HX) as (cx & Cx & Bx); destruct (centre_has Y y HY) as (cy & Cy & By).
  set (CX := centre X) in *; set (CY := centre Y) in *.
  set (ps := map (fun i => (i, I.exp prec (lead i r CX CY))) l).
  set (M := isum snd ps); set (m_ := I.div prec (isum (fun p => iV (fst p) [*] snd p) ps) M).
  set (al_ := I.div prec (isum (fun p => iA (fst p) [*] snd p) ps) M).
  set (be_ := I.div prec (isum (fun p => iB (fst p) [*] snd p) ps) M).
  pose (qs := map (fun t => (t, exp (score t cx cy - score q cx cy))) n).
  assert (Q : Forall2 (fun p a => rel (fst p) (fst a) /\ has (snd p) (snd a)) ps qs).
  { unfold ps, qs; clear -H Hr Cx Cy; induction H as [| i t l m E H IH]; simpl; constructor; auto; simpl; split; auto.
    apply exp_has; now apply lead_has. }
  pose (M' := sum snd qs); assert (HM : has M M') by (apply (isum_has _ _ _ _ _ Q); tauto).
  pose (m := sum (fun a => value (fst a) * snd a) qs / M').
  assert (Hm : has m_ m).
  { apply div_has; auto; apply (isum_has _ _ _ _ _ Q); intros p a [P W]; apply mul_has; auto; apply P. }
  pose (al := sum (fun a => ka (fst a) * snd a) qs / M').
  pose (be := sum (fun a => kb (fst a) * snd a) qs / M').
  pose (u := x - cx); pose (v := y - cy).
  pose (ws := map (fun t => Weighted (ka t - al) (kb t - be) (value t - m) (exp (score t cx cy - score q cx cy))) n).
  assert (Sx : forall t, 0 <= t <= 1 -> has X (cx + t * u)).
  { intros t T; unfold u; destruct (Rle_or_lt cx x).
    - apply (convex X cx x); auto; split; [| nra]; pose proof (Rmult_le_pos t (x - cx)); lra.
    - apply (convex X x cx); auto; split; nra. }
  assert (Sy : forall t, 0 <= t <= 1 -> has Y (cy + t * v)).
  { intros t T; unfold v; destruct (Rle_or_lt cy y).
    - apply (convex Y cy y); auto; split; [| nra]; pose proof (Rmult_le_pos t (y - cy)); lra.
    - apply (convex Y y cy); auto; split; nra. }
  set (js := expand al_ be_ m_ (X [-] CX) (Y [-] CY) ps).
  assert (J : Forall2 (relw u v) js ws).
  { assert (A_ : has al_ al).
    { apply div_has; auto; apply (isum_has _ _ _ _ _ Q); intros p a [P W]; apply mul_has; auto; apply P. }
    assert (B_ : has be_ be).
    { apply div_has; auto; apply (isum_has _ _ _ _ _ Q); intros p a [P W]; apply mul_has; auto; apply P. }
    assert (W_ : ws = map (fun a => Weighted (ka (fst a) - al) (kb (fst a) - be) (value (fst a) - m) (snd a)) qs)
      by (unfold ws, qs; now rewrite map_map).
    unfold js, expand; rewrite W_; clear W_ ws; clearbody al be al_ be_ m m_ ps qs; clear M HM M'.
    induction Q as [| p a ps qs [P W] Q IH]; simpl; constructor; auto.
    destruct P as (PA & PB & PC & PV); unfold relw, weight, slope; simpl.
    assert (HA := sub_has _ _ _ _ PA A_); assert (HB := sub_has _ _ _ _ PB B_).
    repeat split; auto.
    - now apply sub_has.
    - now rewrite Rmult_0_l, exp_0, Rmult_1_r.
    - intros t T; apply mul_has; auto; apply exp_has.
      replace (t * ((ka (fst a) - al) * u + (kb (fst a) - be) * v))
        with ((ka (fst a) - al) * ((cx + t * u) - cx) + (kb (fst a) - be) * ((cy + t * v) - cy)) by ring.
      apply add_has; apply mul_has; auto; apply sub_has; auto. }
  intros B; apply (recentre n q F e cx cy x y al be m); fold ws u v; intros s Hs.
  destruct (expansion F ws cx cy u v e s m) as (t & T & E).
  { intros t T; repeat split; eapply iregular_correct; eauto. }
  rewrite E; clear E.
  assert (JP : forall (h : iweighted -> I.type) (k : weighted -> R),
    (forall j i, relw u v j i -> has (h j) (k i)) -> has (isum (fun j => h j [*] jp j) js) (moment ws u v k 0)).
  { intros h k K; apply (isum_has _ _ _ _ _ J); intros j i P; apply mul_has; [auto | apply P]. }
  assert (JW : forall (h : iweighted -> I.type) (k : weighted -> R),
    (forall j i, relw u v j i -> has (h j) (k i)) -> has (isum (fun j => h j [*] jw j) js) (moment ws u v k t)).
  { intros h k K; apply (isum_has _ _ _ _ _ J); intros j i P; apply mul_has; [auto | now apply P]. }
  assert (JP1 : has (isum jp js) (moment ws u v (fun _ => 1) 0)).
  { apply (isum_has _ _ _ _ _ J); intros j i P; rewrite Rmult_1_l; apply P. }
  assert (JW1 : has (isum jw js) (moment ws u v (fun _ => 1) t)).
  { apply (isum_has _ _ _ _ _ J); intros j i P; rewrite Rmult_1_l; now apply P. }
  assert (FC : forall g, has (ieval g CX CY) (at_ cx cy u v g 0)).
  { intros g; unfold at_; rewrite !Rmult_0_l, !Rplus_0_r; now apply ieval_correct. }
  assert (FB : forall g, has (ieval g X Y) (at_ cx cy u v g t)).
  { intros g; unfold at_; apply ieval_correct; auto. }
  assert (HU : has (X [-] CX) u) by (now apply sub_has).
  assert (HV : has (Y [-] CY) v) by (now apply sub_has).
  assert (PA : forall j i, relw u v j i -> has (jA j) (wA i)) by (intros ? ? P; apply P).
  assert (PB : forall j i, relw u v j i -> has (jB j) (wB i)) by (intros ? ? P; apply P).
  assert (PV : forall j i, relw u v j i -> has (jV j) (wV i)) by (intros ? ? P; apply P).
  assert (HH : has (irat 1 2) (/ 2)).
  { replace (/ 2) with (rat 1 2) by (unfold rat; lra); apply irat_has. }
  match type of B with (if ?b then _ else _) = true => destruct b eqn:B1; [| discriminate] end.
  destruct Hs as [-> | ->].
  - apply (nonneg_correct _ _ B1); clear B B1.
    assert (OP : forall a b A B_, has A a -> has B_ b -> has (A [+] B_) (a + 1 * b)).
    { intros; rewrite Rmult_1_l; now apply add_has. }
    unfold Rdiv, c0, c1, c2; enclose OP JP JW.
  - apply (nonneg_correct _ _ B); clear B B1.
    assert (OP : forall a b A B_, has A a -> has B_ b -> has (A [-] B_) (a + -1 * b)).
    { intros; replace (a + -1 * b) with (a - b) by ring; now apply sub_has. }
    unfold Rdiv, c0, c1, c2; enclose OP JP JW.
Qed.

(* Boxes that neither rule settles are halved, at most n times in a row; wx, wy say along which side, and order 2 is
   tried where no score varies by more than `steep`. The claim is about points where all of C are at most 0. *)
Variables wx wy steep : I.type.
Variable C : list expr.

Definition mild (r : itoken) (X Y : I.type) (i : itoken) : bool :=
  let d := lead i r X Y in I.subset (d [-] d) steep.

Fixpoint search (n : nat) (i : itoken) (l : list itoken) (e X Y : I.type) : bool :=
  if existsb (fun c => above (ieval c X Y)) C then true else
  let (r, l) := first i l (centre X) (centre Y) in
  let G := ieval F X Y in
  let (k, z) := drop r l G X Y in
  let d := e [-] z in
  if nonneg e then
    if order0 r (r :: k) G d X Y then true
    else if (if forallb (mild r X Y) k then order2 r (r :: k) d X Y else false) then true
    else match n with
    | O => false
    | S n =>
        if I.subset (wy [*] (Y [-] Y)) (wx [*] (X [-] X))
        then let (A, B) := I.bisect X in if search n r k d A Y then search n r k d B Y else false
        else let (A, B) := I.bisect Y in if search n r k d X A then search n r k d X B else false
    end
  else false.

Lemma not_outside X Y x y :
  has X x -> has Y y -> Forall (fun c => eval c x y <= 0) C -> existsb (fun c => above (ieval c X Y)) C = false.
Proof.
  intros HX HY H; apply Bool.not_true_is_false; intros B; apply existsb_exists in B; destruct B as (c & M & P).
  pose proof (above_correct _ _ P (ieval_correct c X Y x y HX HY)).
  pose proof (proj1 (Forall_forall _ _) H c M) as N; simpl in N; lra.
Qed.

Lemma search_correct n : forall i l e_ X Y t m e x y,
  rel i t -> Forall2 rel l m -> has e_ e -> has X x -> has Y y -> Forall (fun c => eval c x y <= 0) C ->
  search n i l e_ X Y = true -> sign_form (t :: m) (eval F x y) e x y.
Proof.
  induction n as [| n IH]; intros i l e_ X Y t m e x y Ht Hm He HX HY HC; simpl;
    (destruct (existsb (fun c => above (ieval c X Y)) C) eqn:O; [now rewrite (not_outside X Y x y) in O |]);
    pose proof (first_correct (centre X) (centre Y) l m Hm i t Ht) as A;
    destruct (first i l (centre X) (centre Y)) as [r l']; destruct A as (q & m' & Hr & Hm' & P);
    pose proof (ieval_correct F X Y x y HX HY) as HG;
    pose proof (drop_has r q _ _ X Y x y l' m' Hr HG HX HY Hm') as A;
    destruct (drop r l' (ieval F X Y) X Y) as [k z]; destruct A as (kept & dropped & K & S & Z);
    destruct (nonneg e_) eqn:N; try discriminate;
    pose proof (nonneg_correct _ _ N He) as Pe;
    pose proof (sub_has _ _ _ _ He Z) as Hd; revert Hd;
    match goal with |- has _ ?d -> _ => set (d' := d) end; intros Hd;
    assert (G : sign_form (q :: kept) (eval F x y) d' x y -> sign_form (t :: m) (eval F x y) e x y)
      by (intros G s Hs; rewrite P; exact (drop_correct q kept dropped m' _ e x y S Pe G s Hs));
    (destruct (order0 r (r :: k) (ieval F X Y) (e_ [-] z) X Y) eqn:B0;
      [intros _; apply G, (order0_correct r q _ _ _ _ X Y x y (r :: k) (q :: kept) Hr HG Hd HX HY);
        [now constructor | assumption] |]);
    (destruct (if forallb (mild r X Y) k then order2 r (r :: k) (e_ [-] z) X Y else false) eqn:B2;
      [destruct (forallb _ k); [| discriminate]; intros _;
        apply G, (order2_correct r q _ _ X Y x y (r :: k) (q :: kept) Hr Hd HX HY); [now constructor | assumption] |]).
  - discriminate.
  - destruct (I.subset (wy [*] (Y [-] Y)) (wx [*] (X [-] X))).
    + pose proof (I.bisect_correct X _ HX) as H; destruct (I.bisect X) as [A B]; simpl in H.
      destruct (search n r k (e_ [-] z) A Y) eqn:H1; intros H2; [| discriminate].
      apply G; destruct H as [H | H]; [apply (IH r k (e_ [-] z) A Y) | apply (IH r k (e_ [-] z) B Y)]; auto.
    + pose proof (I.bisect_correct Y _ HY) as H; destruct (I.bisect Y) as [A B]; simpl in H.
      destruct (search n r k (e_ [-] z) X A) eqn:H1; intros H2; [| discriminate].
      apply G; destruct H as [H | H]; [apply (IH r k (e_ [-] z) X A) | apply (IH r k (e_ [-] z) X B)]; auto.
Qed.

End Fixed.

Section Top.
Variable prec : I.precision.
Notation q := (fun p => irat prec (fst p) (snd p)).

Definition inside (d : datum) : itoken :=
  IToken (q (key_x d)) (match key_y d with Some b => q b | None => I.zero end) (q (bias d)) (q (worth d)).

Lemma inside_rel d : rel (inside d) (token_of d).
Proof.
  unfold rel, inside, token_of, ratio; simpl; repeat split; try apply irat_has.
  destruct (key_y d); [apply irat_has | apply zero_has].
Qed.

Lemma inside_all l : Forall2 rel (map inside l) (map token_of l).
Proof. induction l; simpl; constructor; auto using inside_rel. Qed.

Definition side (lo hi : number) : I.type := I.join (q lo) (q hi).

Lemma side_has lo hi x : ratio lo <= x <= ratio hi -> has (side lo hi) x.
Proof.
  intros H; apply (convex (side lo hi) (ratio lo) (ratio hi)); auto; apply I.join_correct;
    [left | right]; apply irat_has.
Qed.

Definition proves (n : nat) (tau wx wy st : Z) (C : list expr) (F : expr) (head : list datum)
    (eps xl xh yl yh : number) : bool :=
  match map inside head with
  | [] => false
  | i :: l => search prec (I.fromZ prec tau) F
        (I.fromZ prec wx) (I.fromZ prec wy) (I.join (I.fromZ prec st) (I.fromZ prec (-st))) C n i l
        (q eps) (side xl xh) (side yl yh)
  end.

Theorem proves_correct n tau wx wy st C F head eps xl xh yl yh x y :
  proves n tau wx wy st C F head eps xl xh yl yh = true ->
  ratio xl <= x <= ratio xh -> ratio yl <= y <= ratio yh -> Forall (fun c => eval c x y <= 0) C ->
  Rabs (eval F x y - mean_of head x y) <= ratio eps.
Proof.
  unfold proves; intros H HX HY HC; destruct head as [| d head]; [discriminate |].
  rewrite mean_of_correct; apply quotient; [discriminate |]; simpl in *.
  apply (search_correct prec _ F _ _ _ C n _ _ _ _ _ _ _ _ x y (inside_rel d) (inside_all head) (irat_has prec _ _)
    (side_has _ _ _ HX) (side_has _ _ _ HY) HC H).
Qed.

(* A point at which the sign form fails, for the sign s. *)
Definition refutes (s : bool) (F : expr) (head : list datum) (eps px py : number) : bool :=
  match map inside head with
  | [] => false
  | i :: l =>
      let (r, k) := first prec i l (q px) (q py) in
      let f := ieval prec F (q px) (q py) in
      let term i :=
        let g := I.sub prec f (iV i) in
        I.mul prec ((if s then I.add prec else I.sub prec) (q eps) g) (I.exp prec (lead prec i r (q px) (q py))) in
      below (isum prec term (r :: k))
  end.

Theorem refutes_correct s F head eps px py :
  refutes s F head eps px py = true ->
  ratio eps < Rabs (eval F (ratio px) (ratio py) - mean_of head (ratio px) (ratio py)).
Proof.
  unfold refutes; intros H; destruct head as [| d head]; [discriminate |].
  rewrite mean_of_correct; cbn [map] in *; cbv beta iota zeta in H.
  apply (quotient_false _ _ _ _ _ (if s then 1 else -1)); [discriminate | destruct s; auto |].
  set (x := ratio px) in *; set (y := ratio py) in *.
  assert (X : has (q px) x) by apply irat_has; assert (Y : has (q py) y) by apply irat_has.
  pose proof (first_correct prec (q px) (q py) _ _ (inside_all head) _ _ (inside_rel d)) as A.
  destruct (first prec (inside d) (map inside head) (q px) (q py)) as [r k]; destruct A as (t & n & R & K & S).
  rewrite S.
  pose (c := fun a => (ratio eps + (if s then 1 else -1) * (eval F x y - value a))).
  change (sum (fun a => c a * exp (score a x y)) (t :: n) < 0).
  assert (E : sum (fun a => c a * exp (score a x y)) (t :: n)
              = exp (score t x y) * sum (fun a => c a * exp (score a x y - score t x y)) (t :: n)).
  { rewrite <- sum_scale; apply sum_ext; intros a.
    replace (score a x y) with (score t x y + (score a x y - score t x y)) at 1 by ring.
    rewrite exp_plus; ring. }
  rewrite E; set (z := sum _ _).
  enough (z < 0) by (pose proof (Rmult_lt_compat_l _ _ _ (exp_pos (score t x y)) H0); lra).
  apply (below_correct _ _ H); unfold z; clear z.
  apply (isum_has prec rel); [now constructor |]; intros i a P.
  apply mul_has; [| now apply exp_has, lead_has].
  assert (G : has (I.sub prec (ieval prec F (q px) (q py)) (iV i)) (eval F x y - value a)).
  { apply sub_has; [now apply ieval_correct | apply P]. }
  unfold c; destruct s.
  - rewrite Rmult_1_l; apply add_has; [apply irat_has | assumption].
  - replace (ratio eps + -1 * (eval F x y - value a)) with (ratio eps - (eval F x y - value a)) by ring.
    apply sub_has; [apply irat_has | assumption].
Qed.
(* Conditions at a point. *)
Definition at_most_0 (e : expr) (px py : number) : bool := nonneg (I.neg (ieval prec e (q px) (q py))).
Definition below_0 (e : expr) (px py : number) : bool := below (ieval prec e (q px) (q py)).

Lemma at_most_0_correct e px py : at_most_0 e px py = true -> eval e (ratio px) (ratio py) <= 0.
Proof.
  intros H; assert (A : has (ieval prec e (q px) (q py)) (eval e (ratio px) (ratio py)))
    by (apply ieval_correct; apply irat_has).
  pose proof (nonneg_correct _ _ H (I.neg_correct _ (Xreal _) A)); lra.
Qed.

Lemma below_0_correct e px py : below_0 e px py = true -> eval e (ratio px) (ratio py) < 0.
Proof. intros H; apply (below_correct _ _ H), ieval_correct; apply irat_has. Qed.
End Top.
End Search.

(* In double precision, and with as many bits as are asked for. *)
Module MachineIntervals := FloatIntervalFull PrimitiveFloat.
Module Machine := Search MachineIntervals.
Module Binary := SpecificFloat BigIntRadix2.
Module LongIntervals := FloatIntervalFull Binary.
Module Long := Search LongIntervals.
